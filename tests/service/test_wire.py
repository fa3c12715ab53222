"""What another system sends is read as it is, as far as it can be kept and said again."""

from decimal import Decimal

import pytest

from service.errors import Malformed
from service.wire import DEEPEST, encode, heard, read


@pytest.mark.parametrize(("body", "value"), [
    (b'{"value": 0.50, "low": 0, "high": -0.0}', {"value": Decimal("0.50"), "low": 0, "high": Decimal("-0.0")}),
    (b'\xef\xbb\xbf{"a": "\\u00e9\\ud83d\\ude00"}', {"a": "é😀"}), ('{"a": "é😀"}'.encode(), {"a": "é😀"}), (b'{"a": 1, "a": 2}', {"a": 2}), (b"[1e400]", [Decimal("1e400")]),
    (b"[123456789012345678901234567890]", [Decimal("123456789012345678901234567890")]), (b"[" * DEEPEST + b"]" * DEEPEST, None), (b'"[[[[ not nested"', "[[[[ not nested"),
])  # fmt: skip
def test_what_can_be_kept_is_read_and_said_again(body: bytes, value: object) -> None:
    found = heard(body)
    assert value is None or found == value
    assert read(encode(found)) == found


@pytest.mark.parametrize("body", [
    b"", b"no JSON", b"{", b"NaN", b"[Infinity]", b"[-Infinity]", b"\xff", '{"a": 1}'.encode("utf-16"), b'"\xed\xa0\xbd"', b'"\\ud83d"', b'{"\\udc00": 1}', b'"\\u0000"',
    b"[1e401]", b"[1e-999999999]", b"[1e99999999999999999999]", b"[" + b"9" * 5000 + b"]", b"[0." + b"1" * 5000 + b"]", b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), b"[" * 200_000,
])  # fmt: skip
def test_what_cannot_be_kept_is_refused_at_once(body: bytes) -> None:
    with pytest.raises(Malformed):
        heard(body)
