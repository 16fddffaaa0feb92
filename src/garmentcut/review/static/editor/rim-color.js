/** @typedef {import("../painting/plane.js").Plane} Plane */

const OFFSETS = [-3, -1, 1, 3];
/** How far around a pixel its colour depends on the alpha. */
export const RIM_REACH_PX = 3;

/**
 * The garment's own colour where the studio shines through, so that an edge is seen as it will be delivered: a light
 * fringe that `cut` takes away anyhow is no reason to choke.
 *
 * One pass, over sixteen pixels around, of the blur fusion that garmentcut.photo.edge does in two (M. Forte,
 * "Approximate Fast Foreground Colour Estimation", ICIP 2021, equation 4); weights are squared, so that nearly opaque
 * pixels, whose colour is the garment's, count most.
 *
 * @param {Uint8ClampedArray} photo RGBA
 * @param {Plane} alpha
 * @param {{x: number, y: number}} place
 * @param {Float32Array} color is written: R, G, B, 0 to 255
 */
export function rimColor(photo, { width, height, data }, { x, y }, color) {
  const garment = [0, 0, 0, 0];
  const behind = [0, 0, 0, 0];
  for (const dy of OFFSETS) {
    const row = Math.min(height - 1, Math.max(0, y + dy)) * width;
    for (const dx of OFFSETS) {
      const i = row + Math.min(width - 1, Math.max(0, x + dx));
      add(garment, photo, i * 4, data[i] * data[i]);
      add(behind, photo, i * 4, (255 - data[i]) * (255 - data[i]));
    }
  }
  const own = y * width + x;
  const share = data[own] / 255;
  for (let k = 0; k < 3; k++) {
    const seen = photo[own * 4 + k];
    const cloth = garment[3] ? garment[k] / garment[3] : seen;
    const wall = behind[3] ? behind[k] / behind[3] : seen;
    color[k] = Math.min(255, Math.max(0, cloth + share * (seen - share * cloth - (1 - share) * wall)));
  }
}

/** @param {number[]} sum R, G, B and weight @param {Uint8ClampedArray} photo @param {number} p @param {number} weight */
function add(sum, photo, p, weight) {
  sum[0] += photo[p] * weight;
  sum[1] += photo[p + 1] * weight;
  sum[2] += photo[p + 2] * weight;
  sum[3] += weight;
}
