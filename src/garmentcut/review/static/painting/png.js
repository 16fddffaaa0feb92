/** @typedef {import("./plane.js").Plane} Plane */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHECKS = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/**
 * An alpha as a gray PNG of 8 bits (PNG, W3C 2003): a canvas could only write RGBA.
 *
 * @param {Plane} plane
 * @returns {Promise<Blob>}
 */
export async function encodeGray({ width, height, data }) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) {
    rows[y * (width + 1)] = 2; // filter "up": edges run mostly downwards
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

/** @param {string} name @param {Uint8Array} content */
function chunk(name, content) {
  const bytes = new Uint8Array(content.length + 12);
  const numbers = new DataView(bytes.buffer);
  numbers.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(content, 8);
  numbers.setUint32(content.length + 8, crc32(bytes.subarray(4, content.length + 8)));
  return bytes;
}

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CHECKS[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/**
 * Pixels of an image as they are in the file: no colour conversion, no multiplication by its alpha.
 *
 * @param {Blob} blob
 * @returns {Promise<ImageData>}
 */
export async function decodeImage(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const drawing = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  drawing.drawImage(bitmap, 0, 0);
  bitmap.close();
  return drawing.getImageData(0, 0, canvas.width, canvas.height);
}

/**
 * @param {Blob} blob a gray image
 * @returns {Promise<Plane>}
 */
export async function decodeGray(blob) {
  const { width, height, data } = await decodeImage(blob);
  const plane = new Uint8Array(width * height);
  for (let i = 0; i < plane.length; i++) plane[i] = data[i * 4];
  return { width, height, data: plane };
}
