/**
 * The alpha that is painted, one byte per pixel, 0 for background and 255 for garment; and parts of it.
 *
 * @typedef {object} Plane
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint8Array} data row by row, `width * height`
 *
 * @typedef {{width: number, height: number}} Size
 * @typedef {{x: number, y: number}} Point
 * @typedef {{x0: number, y0: number, x1: number, y1: number}} Rectangle whole pixels from (x0, y0) up to but excluding (x1, y1), in the order of `box_xyxy`
 */

/** @param {Plane} plane @returns {Plane} */
export function copyPlane({ width, height, data }) {
  return { width, height, data: data.slice() };
}

/** A copy of a rectangle of a plane. @param {Plane} plane @param {Rectangle} box within the plane @returns {Plane} */
export function cropPlane(plane, box) {
  const [width, height] = [box.x1 - box.x0, box.y1 - box.y0];
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = (y + box.y0) * plane.width + box.x0;
    data.set(plane.data.subarray(start, start + width), y * width);
  }
  return { width, height, data };
}

/** Copy a rectangle from one plane to the same place in another. @param {Plane} from @param {Plane} to @param {Rectangle} box */
export function copyBox(from, to, box) {
  for (let y = box.y0; y < box.y1; y++) {
    const start = y * from.width;
    to.data.set(from.data.subarray(start + box.x0, start + box.x1), start + box.x0);
  }
}

/** True if two planes of the same size are equal in a rectangle. @param {Plane} one @param {Plane} other @param {Rectangle} [box] by default everything */
export function samePlane(one, other, box = wholeOf(one)) {
  if (one.width !== other.width || one.data.length !== other.data.length) return false;
  for (let y = box.y0; y < box.y1; y++) {
    const end = y * one.width + box.x1;
    for (let i = y * one.width + box.x0; i < end; i++) if (one.data[i] !== other.data[i]) return false;
  }
  return true;
}

/** The bounding rectangle of pixels that are at least half garment. @param {Plane} plane @returns {Rectangle | null} null: there is none */
export function garmentIn({ width, height, data }) {
  const box = { x0: width, y0: height, x1: 0, y1: 0 };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (data[i] < 128) continue;
      if (x < box.x0) box.x0 = x;
      if (x >= box.x1) box.x1 = x + 1;
      if (y < box.y0) box.y0 = y;
      box.y1 = y + 1;
    }
  }
  return box.x1 > 0 ? box : null;
}

/** @param {Size} size @returns {Rectangle} */
export function wholeOf({ width, height }) {
  return { x0: 0, y0: 0, x1: width, y1: height };
}

/** The smallest rectangle around both; null stands for nothing. @param {Rectangle | null} one @param {Rectangle | null} other @returns {Rectangle | null} */
export function unite(one, other) {
  if (!one || !other) return one ?? other;
  const [x0, y0] = [Math.min(one.x0, other.x0), Math.min(one.y0, other.y0)];
  return { x0, y0, x1: Math.max(one.x1, other.x1), y1: Math.max(one.y1, other.y1) };
}

/**
 * A rectangle rounded outwards to whole pixels, `margin` wider on each side, clipped to the frame; null if empty.
 *
 * @param {Rectangle} box may have fractions
 * @returns {Rectangle | null}
 */
export function within(box, frame, margin = 0) {
  const x0 = Math.max(0, Math.floor(box.x0 - margin));
  const y0 = Math.max(0, Math.floor(box.y0 - margin));
  const x1 = Math.min(frame.width, Math.ceil(box.x1 + margin));
  const y1 = Math.min(frame.height, Math.ceil(box.y1 + margin));
  return x0 < x1 && y0 < y1 ? { x0, y0, x1, y1 } : null;
}

/** True if a point is on a plane, or frame. @param {Size} frame @param {Point} point */
export function isOn({ width, height }, { x, y }) {
  return x >= 0 && y >= 0 && x < width && y < height;
}

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHECKS = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** Encode an alpha as an 8-bit gray PNG (PNG, W3C 2003), because a canvas can only write RGBA. @param {Plane} plane @returns {Promise<Blob>} */
export async function encodeGray({ width, height, data }) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) {
    rows[y * (width + 1)] = 2; // filter "up", because most edges are vertical
    for (let x = 0; x < width; x++) {
      rows[y * (width + 1) + x + 1] = data[y * width + x] - (y > 0 ? data[(y - 1) * width + x] : 0);
    }
  }
  const header = new Uint8Array(13);
  const numbers = new DataView(header.buffer);
  numbers.setUint32(0, width);
  numbers.setUint32(4, height);
  header[8] = 8; // bits; colour type 0, gray, and the rest stay 0
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const body = new Uint8Array(await new Response(packed).arrayBuffer());
  const chunks = [chunk("IHDR", header), chunk("IDAT", body), chunk("IEND", new Uint8Array(0))];
  return new Blob([new Uint8Array(SIGNATURE), ...chunks], { type: "image/png" });
}

/** A part of a PNG file, with its length and checksum (CRC-32). @param {string} name @param {Uint8Array} content */
function chunk(name, content) {
  const bytes = new Uint8Array(content.length + 12);
  const numbers = new DataView(bytes.buffer);
  numbers.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(content, 8);
  const check = bytes.subarray(4, content.length + 8).reduce((value, byte) => CHECKS[(value ^ byte) & 255] ^ (value >>> 8), -1);
  numbers.setUint32(content.length + 8, ~check);
  return bytes;
}

/** Pixels of an image as in the file, without colour conversion or premultiplied alpha. @param {Blob} blob @returns {Promise<ImageData>} */
export async function decodeImage(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const drawing = canvas.getContext("2d", { willReadFrequently: true });
  drawing.drawImage(bitmap, 0, 0);
  bitmap.close();
  return drawing.getImageData(0, 0, canvas.width, canvas.height);
}

/** @param {Blob} blob a gray image @returns {Promise<Plane>} */
export async function decodeGray(blob) {
  const { width, height, data } = await decodeImage(blob);
  const plane = new Uint8Array(width * height);
  for (let i = 0; i < plane.length; i++) plane[i] = data[i * 4];
  return { width, height, data: plane };
}
