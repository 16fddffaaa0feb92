import { fillArea } from "../../painting/area.js";
import { drawLine } from "./lines.js";
import { Tool } from "./tool.js";

/** @typedef {import("./tool.js").Touch} Touch */

/**
 * A line drawn by hand; its inside becomes garment, with Alt background.
 */
export class LassoTool extends Tool {
  /** @param {import("../easel.js").Easel} easel */
  constructor(easel) {
    super(easel);
    /** @type {Touch[]} */
    this.points = [];
    this.subtract = false;
  }

  /** @param {Touch} touch */
  begin(touch) {
    this.isBusy = true;
    this.subtract = touch.alt;
    this.points = [touch];
  }

  /** @param {Touch[]} touches */
  move(touches) {
    this.points.push(...touches);
    this.easel.stage.redraw();
  }

  end() {
    const points = this.points;
    this.cancel();
    fill(this.easel, points, { label: "Lasso", subtract: this.subtract });
  }

  cancel() {
    this.isBusy = false;
    this.points = [];
    this.easel.stage.redraw();
  }

  /** @param {CanvasRenderingContext2D} drawing */
  draw(drawing) {
    const { viewport } = this.easel.stage;
    drawLine(drawing, this.points.map((point) => viewport.toScreen(point)), { closes: true });
  }
}

/**
 * Fill a closed line, as a step.
 *
 * @param {import("../easel.js").Easel} easel
 * @param {{x: number, y: number}[]} points
 * @param {{label: string, subtract: boolean}} how
 */
export function fill(easel, points, { label, subtract }) {
  const { alpha, settled } = easel.planes;
  const box = fillArea(settled, alpha, points, subtract);
  easel.touch(box);
  easel.commit(subtract ? `${label}, taken away` : label, box);
}
