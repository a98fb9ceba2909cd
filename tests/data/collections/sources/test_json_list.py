import io
import json

from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.collections.sources import json_list
from c2lst.data.collections.sources.json_list import json_objects


@given(
    objects=st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers()), max_size=8
    ),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_objects_come_as_json_reads_them(objects, indent, ascii_only, chunk):
    text = json.dumps(objects, indent=indent, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass" if ascii_only else "replace"
    )
    before, json_list._CHUNK = json_list._CHUNK, chunk
    try:
        assert list(json_objects(io.BytesIO(text), "x")) == json.loads(text)
    finally:
        json_list._CHUNK = before


def test_memory_is_that_of_one_chunk():
    import tracemalloc

    line = json.dumps({"name": "x" * 1000}).encode()
    many = io.BytesIO(b"[" + b",".join([line] * 20_000) + b"]")
    tracemalloc.start()
    assert sum(1 for _ in json_objects(many, "x")) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
