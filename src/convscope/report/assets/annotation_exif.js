"use strict";
// Which photographs are stored turned: the program turns them all upright, browsers turn not every format.

/** The EXIF of a PNG or WebP file; null where it has none, and for other formats. @param {DataView} bytes */
function exifOf(bytes) {
  const name = (/** @type {number} */ place) =>
    String.fromCharCode(...[0, 1, 2, 3].map((letter) => bytes.getUint8(place + letter)));
  const isPng = name(0) === "\x89PNG";
  const isWebp = name(0) === "RIFF" && name(8) === "WEBP";
  for (let place = isPng ? 8 : 12; (isPng || isWebp) && place + 8 <= bytes.byteLength;) {
    const length = bytes.getUint32(isPng ? place : place + 4, isWebp);
    if (name(isPng ? place + 4 : place).toLowerCase() === "exif")
      return new DataView(bytes.buffer, place + 8, Math.min(length, bytes.byteLength - place - 8));
    place += isPng ? length + 12 : 8 + length + (length % 2);
  }
  return null;
}

/** EXIF's orientation, from 1, upright, to 8. @param {DataView} exif */
function orientationOf(exif) {
  const start = exif.getUint32(0) === 0x45786966 ? 6 : 0; // after "Exif\0\0"
  const isLittle = exif.getUint8(start) === 0x49;
  const entries = start + exif.getUint32(start + 4, isLittle);
  for (let entry = 0; entry < exif.getUint16(entries, isLittle); entry++) {
    const place = entries + 2 + 12 * entry;
    if (exif.getUint16(place, isLittle) === 0x112) return exif.getUint16(place + 8, isLittle);
  }
  return 1;
}

/** Whether a file is a PNG or WebP that is stored turned. @param {File} file */
async function isStoredTurned(file) {
  if (!/\.(png|webp)$/i.test(file.name) && !/png|webp/.test(file.type)) return false;
  try {
    const exif = exifOf(new DataView(await file.arrayBuffer()));
    return exif !== null && orientationOf(exif) > 1;
  } catch {
    return false; // damaged
  }
}
