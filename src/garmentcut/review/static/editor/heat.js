import { decodeGray } from "../painting/png.js";

/**
 * Where the model doubts, as colour to be laid over the photo: clear where it is sure, yellow, then red.
 *
 * @param {Blob} blob gray, 255 for the greatest doubt
 * @returns {Promise<OffscreenCanvas>}
 */
export async function drawHeat(blob) {
  const { width, height, data } = await decodeGray(blob);
  const canvas = new OffscreenCanvas(width, height);
  const drawing = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = drawing.createImageData(width, height);
  for (let i = 0, p = 0; i < data.length; i++, p += 4) {
    pixels.data[p] = 255;
    pixels.data[p + 1] = Math.min(220, 476 - 2 * data[i]);
    pixels.data[p + 3] = Math.min(210, data[i] * 1.6);
  }
  drawing.putImageData(pixels, 0, 0);
  return canvas;
}
