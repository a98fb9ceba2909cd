// Linked maps of one gene: the same part of the tissue and the same spot in each of them.
(function () {
  "use strict";
  const explorer = document.getElementById("explorer");
  if (!explorer) return;
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("gene-data").textContent);
  const spots = data.spots;
  const count = spots.x.length;
  const [left, right, top, bottom] = data.frame; // in pitches, as are the spots' places
  const levels = decode(data.values);
  const pick = find("gene-pick");
  const maps = find("gene-maps");
  const stained = find("stained");
  const histology = find("histology");
  const views = Array.from(maps.querySelectorAll("figure"), (figure) => ({
    figure,
    canvas: figure.querySelector("canvas"),
    ring: figure.querySelector(".ring"),
    title: figure.querySelector("figcaption").textContent,
    key: figure.dataset.map,
    scale: figure.dataset.scale,
    colours: data.colours[figure.dataset.colours],
  }));
  const LARGEST_ZOOM = 24;
  const RINGED = "#111111";
  const HAIRLINE = "#14181f33"; // an error near zero is white: its spot still has an edge
  const camera = { x: 0, y: 0, zoom: 1 };
  let gene = 0;
  let values = {};
  let spot = -1;
  let paleTissue = null;
  let waiting = false;

  // --- Data -----------------------------------------------------------------------------------

  function decode(text) {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let k = 0; k < bytes.length; k++) bytes[k] = binary.charCodeAt(k);
    return data.bits === 16 ? new Uint16Array(bytes.buffer) : bytes;
  }

  // Only the chosen gene is turned into numbers: a page of many spots stays light.
  function read(index) {
    const { low, step } = data.genes[index];
    const missing = 2 ** data.bits - 1;
    const result = {};
    data.quantities.forEach((name, q) => {
      const start = (index * data.quantities.length + q) * count;
      const part = levels.subarray(start, start + count);
      result[name] = Float32Array.from(part, (level) => (level === missing ? NaN : low + step * level));
    });
    const { observed, predicted, lower, upper } = result;
    if (lower) result.width = upper.map((high, k) => high - lower[k]);
    result.error = predicted.map((value, k) => (spots.unscored[k] ? NaN : value - observed[k]));
    return result;
  }

  // As Python writes them: two decimals, a true minus, no negative zero.
  function number(value, signed) {
    if (!Number.isFinite(value)) return "–";
    const text = Math.abs(value).toFixed(2);
    if (Number(text) === 0) return text;
    return (value < 0 ? "−" : signed ? "+" : "") + text;
  }

  // --- Drawing --------------------------------------------------------------------------------

  function pixelsPerPitch(canvas) {
    return (canvas.clientWidth / (right - left)) * camera.zoom;
  }

  // Where a place of the slide lies on a map, in CSS pixels from the map's upper left corner.
  function onMap(canvas, x, y) {
    const scale = pixelsPerPitch(canvas);
    return [
      (x - camera.x) * scale + canvas.clientWidth / 2,
      (y - camera.y) * scale + canvas.clientHeight / 2,
    ];
  }

  function radius(canvas) {
    const fill = stained && stained.checked ? data.fill / 2 : data.fill;
    return (fill / 2) * pixelsPerPitch(canvas);
  }

  function draw(view) {
    const { canvas, colours } = view;
    const dense = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    const pen = canvas.getContext("2d");
    pen.scale(dense, dense);
    const scale = pixelsPerPitch(canvas);
    const onStain = stained && stained.checked;
    const tissue = onStain ? histology : paleTissue;
    if (tissue) {
      const [x, y] = onMap(canvas, left, top);
      pen.drawImage(tissue, x, y, (right - left) * scale, (bottom - top) * scale);
    }
    const [low, high] = data.genes[gene].limits[view.scale];
    const shown = values[view.key];
    const size = radius(canvas);
    const rim = Math.min(1.6, 0.24 * size);
    for (let k = 0; k < count; k++) {
      const [x, y] = onMap(canvas, spots.x[k], spots.y[k]);
      if (x < -size || y < -size || x > width + size || y > height + size) continue;
      const known = Number.isFinite(shown[k]);
      pen.beginPath();
      pen.arc(x, y, size - rim / 2, 0, 2 * Math.PI);
      if (onStain) {
        // A white rim keeps every spot visible on dark nuclei.
        pen.lineWidth = 3 * rim;
        pen.strokeStyle = "#ffffff";
        pen.stroke();
      }
      if (known) {
        const share = Math.min(1, Math.max(0, (shown[k] - low) / (high - low)));
        pen.fillStyle = colours[Math.round(255 * share)];
        pen.fill();
      }
      pen.lineWidth = rim;
      pen.strokeStyle = spots.ringed[k] ? RINGED : known ? HAIRLINE : data.unmeasured;
      // On small spots a hairline would tint the colour that it surrounds.
      if (spots.ringed[k] || !known || size > 4) pen.stroke();
    }
    markSpot(view);
  }

  // The mark is an element over the canvas: pointing at spots redraws none of them.
  function markSpot({ canvas, ring }) {
    ring.hidden = spot < 0;
    if (spot < 0) return;
    const [x, y] = onMap(canvas, spots.x[spot], spots.y[spot]);
    const side = 2 * Math.max(radius(canvas), 4) + 6;
    Object.assign(ring.style, {
      left: `${x - side / 2}px`,
      top: `${y - side / 2}px`,
      width: `${side}px`,
      height: `${side}px`,
    });
  }

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      views.forEach(draw);
    });
  }

  // --- What is shown --------------------------------------------------------------------------

  function chooseGene(index) {
    gene = index;
    values = read(index);
    const { name, score, limits } = data.genes[index];
    if (pick.value !== name) pick.value = name;
    find("gene-score").textContent = `${name}: ${score}`;
    views.forEach(({ figure, canvas, scale, title }) => {
      const [low, high] = limits[scale].map((end) => number(end, scale === "error"));
      figure.querySelector(".low").textContent = low;
      figure.querySelector(".high").textContent = high;
      canvas.setAttribute("aria-label", `${title}, ${name}, over the section, from ${low} to ${high}`);
    });
    redraw();
    if (spot >= 0) chooseSpot(spot);
  }

  function chooseSpot(index) {
    spot = index;
    const at = (name) => values[name][spot];
    const parts = [
      `observed ${Number.isFinite(at("observed")) ? number(at("observed")) : "not measured"}`,
      `predicted ${number(at("predicted"))}` +
        (values.width ? ` (90 % interval ${number(at("lower"))} to ${number(at("upper"))})` : ""),
    ];
    if (Number.isFinite(at("error"))) parts.push(`error ${number(at("error"), true)}`);
    find("readout").textContent =
      `Spot ${spots.barcode[spot]}, ${spots.roles[spots.role[spot]]}. ` +
      `${data.genes[gene].name}: ${parts.join(", ")}.`;
    views.forEach(markSpot);
  }

  // The spot nearest to a place, among those that the filter lets through; -1 for none.
  function nearest(x, y, reach, lets) {
    let best = -1;
    let least = reach * reach;
    for (let k = 0; k < count; k++) {
      const [across, down] = [spots.x[k] - x, spots.y[k] - y];
      const distance = across * across + down * down;
      if (distance < least && (!lets || lets(across, down))) [best, least] = [k, distance];
    }
    return best;
  }

  function moveCamera(x, y, zoom) {
    camera.zoom = Math.min(LARGEST_ZOOM, Math.max(1, zoom));
    const half = 0.5 / camera.zoom;
    const inside = (value, low, high) =>
      Math.min(high - half * (high - low), Math.max(low + half * (high - low), value));
    camera.x = inside(x, left, right);
    camera.y = inside(y, top, bottom);
    // At full view a finger scrolls the page; once zoomed it moves the maps.
    maps.classList.toggle("zoomed", camera.zoom > 1);
    redraw();
  }

  // Zoom so that the place (x, y) stays where it is on the screen.
  function zoomAround(x, y, factor) {
    const zoom = Math.min(LARGEST_ZOOM, Math.max(1, camera.zoom * factor));
    const kept = camera.zoom / zoom;
    moveCamera(x + (camera.x - x) * kept, y + (camera.y - y) * kept, zoom);
  }

  function zoomHere(factor) {
    const [x, y] = spot < 0 ? [camera.x, camera.y] : [spots.x[spot], spots.y[spot]];
    zoomAround(x, y, factor);
  }

  const showAll = () => moveCamera((left + right) / 2, (top + bottom) / 2, 1);

  // --- The page's address: #gene=NAME&spot=BARCODE ----------------------------------------------

  let writing = 0;
  function writeAddress() {
    // Browsers allow few changes of the address a second; one after the last is enough.
    clearTimeout(writing);
    writing = setTimeout(() => {
      const part = new URLSearchParams({ gene: data.genes[gene].name });
      if (spot >= 0) part.set("spot", spots.barcode[spot]);
      try {
        history.replaceState(null, "", `#${part}`);
      } catch {
        // A page shown inside another may not change its address; the maps need not.
      }
    }, 300);
  }

  function readAddress() {
    const part = new URLSearchParams(location.hash.slice(1));
    const index = data.genes.findIndex(({ name }) => name === part.get("gene"));
    if (index < 0) return false;
    chooseGene(index);
    const named = spots.barcode.indexOf(part.get("spot"));
    if (named >= 0) chooseSpot(named);
    explorer.scrollIntoView();
    return true;
  }

  // --- Hands ----------------------------------------------------------------------------------

  function place(canvas, event) {
    const box = canvas.getBoundingClientRect();
    const scale = pixelsPerPitch(canvas);
    return [
      camera.x + (event.clientX - box.left - canvas.clientWidth / 2) / scale,
      camera.y + (event.clientY - box.top - canvas.clientHeight / 2) / scale,
    ];
  }

  function point(canvas, event) {
    const found = nearest(...place(canvas, event), 0.75);
    if (found < 0 || found === spot) return;
    chooseSpot(found);
    writeAddress();
  }

  views.forEach(({ canvas }) => {
    let grip = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      grip = place(canvas, event);
      canvas.setPointerCapture(event.pointerId);
      point(canvas, event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!grip) return point(canvas, event);
      const [x, y] = place(canvas, event);
      moveCamera(camera.x + grip[0] - x, camera.y + grip[1] - y, camera.zoom);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => { grip = null; });
    }
    canvas.addEventListener("wheel", (event) => {
      // Whoever scrolls past the maps must not be caught by them.
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== maps) return;
      event.preventDefault();
      zoomAround(...place(canvas, event), Math.exp(-0.002 * event.deltaY));
    }, { passive: false });
  });

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function step([across, down]) {
    if (spot < 0) return chooseSpot(nearest(camera.x, camera.y, Infinity));
    // Within 45° of the arrow: a hexagonal array has no spot straight above another's neighbour.
    const found = nearest(spots.x[spot], spots.y[spot], Infinity, (x, y) => {
      const along = across * x + down * y;
      return along > 0.01 && Math.abs(across * y - down * x) <= along;
    });
    if (found >= 0) chooseSpot(found);
    const half = 0.5 / camera.zoom;
    const away = Math.max(
      Math.abs(spots.x[spot] - camera.x) / (right - left),
      Math.abs(spots.y[spot] - camera.y) / (bottom - top),
    );
    if (away > half) moveCamera(spots.x[spot], spots.y[spot], camera.zoom);
  }

  maps.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (STEPS[event.key]) step(STEPS[event.key]);
    else if (event.key === "+" || event.key === "=") zoomHere(1.5);
    else if (event.key === "-") zoomHere(1 / 1.5);
    else if (event.key === "0") showAll();
    else return;
    event.preventDefault();
    writeAddress();
  });

  pick.addEventListener("change", () => {
    chooseGene(data.genes.findIndex(({ name }) => name === pick.value));
    writeAddress();
  });
  find("zoom-in").addEventListener("click", () => zoomHere(1.5));
  find("zoom-out").addEventListener("click", () => zoomHere(1 / 1.5));
  find("zoom-reset").addEventListener("click", showAll);
  if (stained) stained.addEventListener("change", redraw);
  addEventListener("hashchange", readAddress);

  // As pale as in the still pictures: the spots carry the message.
  function pale(image) {
    const sheet = document.createElement("canvas");
    [sheet.width, sheet.height] = [image.naturalWidth, image.naturalHeight];
    const pen = sheet.getContext("2d");
    pen.drawImage(image, 0, 0);
    const picture = pen.getImageData(0, 0, sheet.width, sheet.height);
    const pixels = picture.data;
    for (let k = 0; k < pixels.length; k += 4) {
      const grey = (pixels[k] + pixels[k + 1] + pixels[k + 2]) / 3;
      pixels[k] = pixels[k + 1] = pixels[k + 2] = 255 - 0.3 * (255 - grey);
    }
    pen.putImageData(picture, 0, 0);
    return sheet;
  }

  explorer.hidden = false;
  showAll();
  if (!readAddress()) chooseGene(0);
  new ResizeObserver(redraw).observe(maps);
  if (histology) {
    histology.decode().then(() => {
      paleTissue = pale(histology);
      redraw();
    });
  }
})();
