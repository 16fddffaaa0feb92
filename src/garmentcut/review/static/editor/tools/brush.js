import { unite } from "../../painting/rectangle.js";
import { Stroke } from "../../painting/stroke.js";
import { Tool } from "./tool.js";

/** @typedef {import("./tool.js").Touch} Touch */

/**
 * Paints garment, or takes it away. Pen pressure sets the size, Shift draws a straight line from where the last stroke ended.
 */
export class BrushTool extends Tool {
  /** @param {import("../easel.js").Easel} easel @param {{erase: boolean}} kind */
  constructor(easel, { erase }) {
    super(easel);
    this.erase = erase;
    this.isRound = true;
    /** @type {Stroke | null} */
    this.stroke = null;
    /** @type {import("../../painting/stroke.js").Dab | null} where the last stroke ended */
    this.last = null;
  }

  /** @param {Touch} touch */
  begin(touch) {
    const { hardness, strength } = this.easel.settings;
    this.isBusy = true;
    this.easel.setPainting(true);
    this.stroke = new Stroke(this.easel.coverage, { hardness, strength, erase: this.erase !== touch.alt });
    if (touch.shift && this.last) this.stroke.extend(this.last);
    this.move([touch]);
  }

  /** @param {Touch[]} touches */
  move(touches) {
    const stroke = this.stroke;
    if (!stroke) return;
    const box = thinned(touches, this.easel.settings.size).map((touch) => stroke.extend(this.dabOf(touch))).reduce(unite, null);
    if (!box) return;
    const { alpha, settled } = this.easel.planes;
    stroke.blend(settled, alpha, box);
    this.easel.touch(box);
  }

  end() {
    const { stroke } = this;
    if (!stroke) return;
    this.last = stroke.last;
    this.easel.commit(stroke.brush.erase ? "Eraser" : "Brush", stroke.box);
    this.#rest();
  }

  cancel() {
    const box = this.stroke?.box;
    if (box) {
      this.easel.photo?.history.revert(box);
      this.easel.touch(box);
    }
    this.#rest();
  }

  #rest() {
    this.stroke?.finish();
    this.stroke = null;
    this.isBusy = false;
    this.easel.setPainting(false);
  }

  /** @param {Touch} touch */
  dabOf({ x, y, pressure }) {
    return { x, y, radius: Math.max(0.5, (this.easel.settings.size / 2) * pressure) };
  }
}

/**
 * Without the points that a brush of this size would not show: a pen tells of hundreds a second.
 *
 * @param {Touch[]} touches
 * @param {number} size pixels
 */
function thinned(touches, size) {
  const kept = [touches[0]];
  for (const touch of touches.slice(1, -1)) {
    const last = kept[kept.length - 1];
    if (Math.hypot(touch.x - last.x, touch.y - last.y) >= Math.max(0.5, size / 40)) kept.push(touch);
  }
  return touches.length > 1 ? [...kept, touches[touches.length - 1]] : kept;
}
