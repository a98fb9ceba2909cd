(function () {
  "use strict";
  var pick = document.getElementById("gene-pick");
  if (!pick) return;
  var panels = document.querySelectorAll(".chooser .gene");
  function show() {
    panels.forEach(function (panel, index) { panel.hidden = String(index) !== pick.value; });
  }
  pick.parentElement.hidden = false;
  pick.addEventListener("change", show);
  show();
})();
