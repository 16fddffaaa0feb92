import { announce } from "../../page/messages.js";
import { insist } from "../../page/connection.js";
import { askJson } from "../../page/server.js";
import { cropPlane } from "../../painting/plane.js";
import { decodeGray, encodeGray } from "../../painting/png.js";
import { Stroke } from "../../painting/stroke.js";
import { Tool } from "./tool.js";

/**
 * @typedef {import("./tool.js").Touch} Touch
 * @typedef {import("../../painting/rectangle.js").Rectangle} Rectangle
 * @typedef {{photo: import("../photo.js").OpenPhoto, box: Rectangle, path: Touch[], hint: string}} Job
 */

const LONGEST_PX = 2048; // the server's limit for a side
const HARDNESS = 0.5;

/**
 * A stroke over an edge, inside which the model draws the edge anew. Shift: what it covers is garment; Alt: it is not.
 */
export class SmartTool extends Tool {
  /** @param {import("../easel.js").Easel} easel */
  constructor(easel) {
    super(easel);
    this.isRound = true;
    /** @type {Stroke | null} */
    this.stroke = null;
    /** @type {Touch[]} */
    this.path = [];
    /** Strokes the server works on. @type {Job[]} */
    this.jobs = [];
  }

  /** @param {Touch} touch */
  begin(touch) {
    this.isBusy = true;
    this.stroke = new Stroke(this.easel.coverage, { hardness: HARDNESS, strength: 1, erase: false });
    this.move([touch]);
  }

  /** @param {Touch[]} touches */
  move(touches) {
    for (const touch of touches) this.stroke?.extend({ x: touch.x, y: touch.y, radius: this.easel.settings.size / 2 });
    this.path.push(...touches);
    this.easel.stage.redraw();
  }

  end() {
    const { stroke, path } = this;
    const box = stroke?.box;
    const coverage = box && cropPlane(this.easel.coverage, box);
    this.cancel();
    if (!box || !coverage || !this.easel.photo) return;
    if (Math.max(coverage.width, coverage.height) > LONGEST_PX) return announce("That stroke is too long. Go along the edge in pieces.");
    const hint = path[0].alt ? "subtract" : path[0].shift ? "add" : "auto";
    this.#redraw({ photo: this.easel.photo, box, path, hint }, coverage);
  }

  cancel() {
    this.stroke?.finish();
    this.stroke = null;
    this.path = [];
    this.isBusy = false;
    this.easel.stage.redraw();
  }

  /** @param {Job} job @param {import("../../painting/plane.js").Plane} coverage */
  async #redraw(job, coverage) {
    this.jobs.push(job);
    document.body.classList.add("redrawing");
    try {
      const sent = cropPlane(job.photo.alpha, job.box);
      const answer = await ask(job, coverage, sent);
      await this.easel.rest();
      if (this.easel.photo === job.photo) this.#lay(job.box, coverage, sent, answer);
    } catch (error) {
      announce(`The edge was not redrawn. ${/** @type {Error} */ (error).message}`, { urgent: true });
    } finally {
      this.jobs = this.jobs.filter((other) => other !== job);
      document.body.classList.toggle("redrawing", this.jobs.length > 0);
      this.easel.stage.redraw();
    }
  }

  /**
   * Pixels that were painted over meanwhile stay as they were painted.
   *
   * @param {Rectangle} box
   * @param {import("../../painting/plane.js").Plane} coverage
   * @param {import("../../painting/plane.js").Plane} sent
   * @param {import("../../painting/plane.js").Plane} answer
   */
  #lay(box, coverage, sent, answer) {
    const { alpha } = this.easel.planes;
    for (let y = box.y0, k = 0; y < box.y1; y++) {
      for (let x = box.x0; x < box.x1; x++, k++) {
        const i = y * alpha.width + x;
        if (coverage.data[k] && alpha.data[i] === sent.data[k]) alpha.data[i] = answer.data[k];
      }
    }
    this.easel.touch(box);
    if (!this.easel.commit("Smart brush", box)) announce("The model sees this edge as it is.");
  }

  /** @param {CanvasRenderingContext2D} drawing */
  draw(drawing) {
    const { viewport } = this.easel.stage;
    drawing.lineJoin = drawing.lineCap = "round";
    drawing.lineWidth = this.easel.settings.size * viewport.scale;
    for (const path of [this.path, ...this.jobs.filter((job) => job.photo === this.easel.photo).map((job) => job.path)]) {
      const line = new Path2D();
      for (const touch of path.length === 1 ? [path[0], path[0]] : path) {
        const { x, y } = viewport.toScreen(touch);
        line.lineTo(x, y);
      }
      drawing.strokeStyle = path === this.path ? "rgb(80 170 255 / 40%)" : "rgb(80 170 255 / 22%)";
      drawing.stroke(line);
    }
  }
}

/** @param {Job} job @param {import("../../painting/plane.js").Plane} coverage @param {import("../../painting/plane.js").Plane} sent */
async function ask({ photo, box, hint }, coverage, sent) {
  const json = {
    box_xyxy: [box.x0, box.y0, box.x1, box.y1],
    stroke: await base64Of(await encodeGray(coverage)),
    alpha: await base64Of(await encodeGray(sent)),
    hint,
  };
  const address = `/api/photos/${photo.item.id}/redraw`;
  const answer = await insist(() => askJson(address, { method: "POST", json }));
  const bytes = Uint8Array.from(atob(answer.alpha), (letter) => letter.charCodeAt(0));
  return decodeGray(new Blob([bytes], { type: "image/png" }));
}

/** @param {Blob} blob @returns {Promise<string>} */
function base64Of(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1]);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
