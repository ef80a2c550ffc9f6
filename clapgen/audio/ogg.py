"""Reproducible Ogg files: replaces the random serial number that encoders give every stream."""

import zlib

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_SERIAL, _CHECKSUM, _SEGMENTS = 14, 22, 26  # offsets in a page header (RFC 3533, section 6)


def fix_serial_number(encoded: bytearray, serial: int = 0) -> None:
    """Set the serial number of every page of a single-stream Ogg file and update the checksums, in place."""
    start = 0
    while encoded[start : start + 4] == b"OggS":
        segments = encoded[start + _SEGMENTS]
        header = start + _SEGMENTS + 1 + segments
        end = header + sum(encoded[start + _SEGMENTS + 1 : header])
        encoded[start + _SERIAL : start + _SERIAL + 4] = serial.to_bytes(4, "little")
        encoded[start + _CHECKSUM : start + _CHECKSUM + 4] = bytes(4)
        encoded[start + _CHECKSUM : start + _CHECKSUM + 4] = _checksum(encoded[start:end]).to_bytes(4, "little")
        start = end


def _checksum(page: bytes | bytearray) -> int:
    """Ogg's CRC-32: zlib's polynomial with reversed bits in input and result, and no inversion."""
    crc = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
