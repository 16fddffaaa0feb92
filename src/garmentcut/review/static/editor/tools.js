import { announce } from "../page/page.js";
import { askJson } from "../page/server.js";
import { fillHole, keepComponent } from "../painting/edits.js";
import { cropPlane, decodeGray, encodeGray, isOn, unite } from "../painting/plane.js";
import { fillArea, Stroke } from "../painting/stroke.js";
import { strokeTwice } from "./looks.js";

/**
 * The tools, one of which is selected.
 *
 * @import { Easel } from "./photo.js"
 * @import { Plane, Point, Rectangle } from "../painting/plane.js"
 * @typedef {{photo: import("./photo.js").OpenPhoto, box: Rectangle, path: Touch[], hint: string}} Job a stroke that the server processes
 *
 * @typedef {object} Touch a point of a pointer's path, in pixels of the photo
 * @property {number} x
 * @property {number} y
 * @property {number} pressure in [0, 1]; 1 for devices that have none
 * @property {boolean} shift
 * @property {boolean} alt the opposite: erase instead of paint; a pen turned over does the same
 */

const CLOSE_PX = 9; // a click this close to the first corner, in screen pixels, closes a polygon
const LONGEST_PX = 2048; // the server's limit for a side of a smart stroke
const SMART_HARDNESS = 0.5;

/**
 * The interface of all tools, with methods that do nothing. `begin`: the pointer was pressed; `move`: it moved while pressed,
 * with all its positions since the last call; `hover`: it moved otherwise; `end`: it was released. By key, `cancel` drops what
 * is unfinished, `close` finishes a line, `stepBack` removes its last point (false: there is none). `draw` shows what is
 * unfinished, in pixels of the canvas.
 */
export class Tool {
  isRound = false; // the cursor is the brush's circle

  /** @param {Easel} easel @param {string} hint shown while the tool is selected */
  constructor(easel, hint) {
    this.easel = easel;
    this.hint = hint;
  }

  /** True while a stroke or a line is unfinished. */
  get isBusy() {
    return false;
  }

  begin() {}
  move() {}
  hover() {}
  end() {}
  cancel() {}
  close() {}
  stepBack() {
    return false;
  }
  draw() {}
}

/** Paints garment or erases it. Pen pressure sets the size; Shift draws a straight line from the end of the last stroke. */
class BrushTool extends Tool {
  isRound = true;
  stroke = null;
  /** Where the last stroke ended. @type {import("../painting/stroke.js").Dab | null} */
  last = null;

  constructor(easel, hint, erases) {
    super(easel, hint);
    this.erases = erases;
  }

  get isBusy() {
    return this.stroke !== null;
  }

  begin(touch) {
    const { hardness, strength } = this.easel.settings;
    this.easel.setPainting(true);
    this.stroke = new Stroke(this.easel.coverage, { hardness, strength, erase: this.erases !== touch.alt });
    if (touch.shift && this.last) this.stroke.extend(this.last);
    this.move([touch]);
  }

  move(touches) {
    const { stroke } = this;
    const { size } = this.easel.settings;
    if (!stroke) return;
    const box = thinned(touches, size)
      .map(({ x, y, pressure }) => stroke.extend({ x, y, radius: Math.max(0.5, (size / 2) * pressure) }))
      .reduce(unite, null);
    if (!box) return;
    const { alpha, settled } = this.easel.planes;
    stroke.blend(settled, alpha, box);
    this.easel.stage.touch(box);
  }

  end() {
    if (!this.stroke) return;
    this.last = this.stroke.last;
    this.easel.commit(this.stroke.brush.erase ? "Eraser" : "Brush", this.stroke.box);
    this.#rest();
  }

  cancel() {
    const box = this.stroke?.box ?? null;
    if (box) this.easel.photo?.history.revert(box);
    this.easel.stage.touch(box);
    this.#rest();
  }

  #rest() {
    this.stroke?.finish();
    this.stroke = null;
    this.easel.setPainting(false);
  }
}

/** Drop points that make no difference for a brush of this size, because a pen sends hundreds per second. @param {Touch[]} touches @param {number} size pixels */
function thinned(touches, size) {
  let last = touches[0];
  return touches.filter((touch, k) => {
    const isFar = Math.hypot(touch.x - last.x, touch.y - last.y) >= Math.max(0.5, size / 40);
    if (isFar) last = touch;
    return isFar || k === 0 || k === touches.length - 1;
  });
}

/** A stroke over an edge, in which the model draws the edge again. Shift: it covers garment; Alt: it covers background. */
class SmartTool extends Tool {
  isRound = true;
  stroke = null;
  path = [];
  jobs = [];

  get isBusy() {
    return this.stroke !== null;
  }

  begin(touch) {
    this.stroke = new Stroke(this.easel.coverage, { hardness: SMART_HARDNESS, strength: 1, erase: false });
    this.move([touch]);
  }

  move(touches) {
    for (const { x, y } of touches) this.stroke?.extend({ x, y, radius: this.easel.settings.size / 2 });
    this.path.push(...touches);
    this.easel.stage.redraw();
  }

  end() {
    const { stroke, path } = this;
    const box = stroke?.box;
    const coverage = box && cropPlane(this.easel.coverage, box);
    this.cancel();
    if (!box || !coverage || !this.easel.photo) return;
    if (Math.max(coverage.width, coverage.height) > LONGEST_PX) return announce("That stroke is too long. Paint along the edge in several strokes.");
    const hint = path[0].alt ? "subtract" : path[0].shift ? "add" : "auto";
    this.#redraw({ photo: this.easel.photo, box, path, hint }, coverage);
  }

  cancel() {
    this.stroke?.finish();
    this.stroke = null;
    this.path = [];
    this.easel.stage.redraw();
  }

  async #redraw(job, coverage) {
    this.jobs.push(job);
    document.body.classList.add("redrawing");
    try {
      const sent = cropPlane(job.photo.alpha, job.box);
      const answer = await askForEdge(job, coverage, sent);
      await this.easel.rest();
      if (this.easel.photo === job.photo) this.#lay(job.box, coverage, sent, answer);
    } catch (error) {
      announce(`The edge was not redrawn. ${error.message}`, { urgent: true });
    } finally {
      this.jobs = this.jobs.filter((other) => other !== job);
      document.body.classList.toggle("redrawing", this.jobs.length > 0);
      this.easel.stage.redraw();
    }
  }

  /** Apply the server's answer, except to pixels that were painted on meanwhile. @param {Rectangle} box @param {Plane} coverage @param {Plane} sent @param {Plane} answer */
  #lay(box, coverage, sent, answer) {
    const { alpha } = this.easel.planes;
    for (let y = box.y0, k = 0; y < box.y1; y++) {
      for (let x = box.x0; x < box.x1; x++, k++) {
        const i = y * alpha.width + x;
        if (coverage.data[k] && alpha.data[i] === sent.data[k]) alpha.data[i] = answer.data[k];
      }
    }
    this.easel.stage.touch(box);
    if (!this.easel.commit("Smart brush", box)) announce("The model finds nothing to change here.");
  }

  draw(drawing) {
    const { viewport } = this.easel.stage;
    drawing.lineJoin = drawing.lineCap = "round";
    drawing.lineWidth = this.easel.settings.size * viewport.scale;
    for (const path of [this.path, ...this.jobs.filter((job) => job.photo === this.easel.photo).map((job) => job.path)]) {
      const points = path.map((touch) => viewport.toScreen(touch));
      drawing.strokeStyle = path === this.path ? "rgb(80 170 255 / 40%)" : "rgb(80 170 255 / 22%)";
      drawing.stroke(lineThrough(points.length === 1 ? [...points, ...points] : points));
    }
  }
}

async function askForEdge({ photo, box, hint }, coverage, sent) {
  const [stroke, alpha] = await Promise.all([coverage, sent].map(async (plane) => base64Of(await encodeGray(plane))));
  const json = { box_xyxy: [box.x0, box.y0, box.x1, box.y1], stroke, alpha, hint };
  const answer = await askJson(`/api/photos/${photo.item.id}/redraw`, { method: "POST", json });
  const bytes = Uint8Array.from(atob(answer.alpha), (letter) => letter.charCodeAt(0));
  return decodeGray(new Blob([bytes], { type: "image/png" }));
}

function base64Of(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1]);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** A line drawn by hand; its inside becomes garment, with Alt background. */
class LassoTool extends Tool {
  points = [];
  subtract = false;

  get isBusy() {
    return this.points.length > 0;
  }

  begin(touch) {
    this.subtract = touch.alt;
    this.points = [touch];
  }

  move(touches) {
    this.points.push(...touches);
    this.easel.stage.redraw();
  }

  end() {
    this.fill("Lasso");
  }

  /** Fill the closed line, as a step. @param {string} label */
  fill(label) {
    const { points, subtract } = this;
    this.cancel();
    if (points.length < 3) return;
    const { alpha, settled } = this.easel.planes;
    const box = fillArea(settled, alpha, points, subtract);
    this.easel.stage.touch(box);
    this.easel.commit(subtract ? `${label}, taken away` : label, box);
  }

  cancel() {
    this.points = [];
    this.easel.stage.redraw();
  }

  draw(drawing, points = this.points) {
    if (!points.length) return;
    const { viewport } = this.easel.stage;
    const corners = points.map((point) => viewport.toScreen(point));
    strokeTwice(drawing, lineThrough(corners));
    drawing.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]); // dashed, because it is not applied yet
    strokeTwice(drawing, lineThrough([corners.at(-1), corners[0]]));
    drawing.setLineDash([]);
  }
}

/** @param {Point[]} points in pixels of the canvas */
function lineThrough(points) {
  const path = new Path2D();
  for (const { x, y } of points) path.lineTo(x, y);
  return path;
}

/** Straight lines from click to click. Enter or a click on the first corner closes; Alt at the first click erases. */
class PolygonTool extends LassoTool {
  /** @type {Touch | null} */
  next = null;

  begin(touch) {
    const { points } = this;
    if (!points.length) this.subtract = touch.alt;
    // The second press of a double click also closes, because it is at the last corner.
    if (points.length > 2 && [points[0], points.at(-1)].some((corner) => this.#isNear(touch, corner))) return this.close();
    points.push(touch);
    this.easel.stage.redraw();
  }

  move() {}

  end() {}

  hover(touch) {
    if (!this.points.length) return;
    this.next = touch;
    this.easel.stage.redraw();
  }

  close() {
    this.fill("Polygon");
  }

  stepBack() {
    if (!this.points.pop()) return false;
    this.easel.stage.redraw();
    return true;
  }

  cancel() {
    this.next = null;
    super.cancel();
  }

  draw(drawing) {
    super.draw(drawing, this.next && this.points.length ? [...this.points, this.next] : this.points);
    const half = 3.5 * devicePixelRatio;
    drawing.fillStyle = "#fff";
    drawing.strokeStyle = "#000";
    drawing.lineWidth = devicePixelRatio;
    for (const corner of this.points) {
      const { x, y } = this.easel.stage.viewport.toScreen(corner);
      drawing.fillRect(x - half, y - half, 2 * half, 2 * half);
      drawing.strokeRect(x - half, y - half, 2 * half, 2 * half);
    }
  }

  #isNear(one, other) {
    const limit = (CLOSE_PX * devicePixelRatio) / this.easel.stage.viewport.scale;
    return Math.hypot(one.x - other.x, one.y - other.y) <= limit;
  }
}

/** A click on a pixel changes the whole alpha. */
class ClickTool extends Tool {
  /**
   * @param {string} label of the step
   * @param {(plane: Plane, x: number, y: number) => Plane | string} edit a new alpha, or a sentence that says why there is none
   */
  constructor(easel, hint, label, edit) {
    super(easel, hint);
    this.label = label;
    this.edit = edit;
  }

  begin(touch) {
    const { settled } = this.easel.planes;
    if (!isOn(settled, touch)) return;
    const result = this.edit(settled, Math.floor(touch.x), Math.floor(touch.y));
    if (typeof result === "string") announce(result);
    else if (!this.easel.replace(this.label, result)) announce("Nothing to remove: there is only this part.");
  }
}

/** All tools. Dispatches `choose` when another one is selected. */
export class Toolbox extends EventTarget {
  name = "brush";

  constructor(easel) {
    super();
    this.tools = {
      brush: new BrushTool(easel, "Alt erases · Shift+click: straight line · [ ] size", false),
      eraser: new BrushTool(easel, "Alt paints garment · Shift+click: straight line · [ ] size", true),
      smart: new SmartTool(easel, "Paint over an edge · Shift: garment · Alt: background"),
      lasso: new LassoTool(easel, "Draw around garment · Alt: around background"),
      polygon: new PolygonTool(easel, "Click around garment, Enter closes it · Alt: background"),
      fill: new ClickTool(easel, "Click into a hole to fill it.", "Fill hole", fillHole),
      keep: new ClickTool(easel, "Click the part to keep; all others are removed.", "Keep this part", keepComponent),
    };
    easel.stage.overlay = (drawing) => Object.values(this.tools).forEach((tool) => tool.draw(drawing));
  }

  get tool() {
    return this.tools[this.name];
  }

  choose(name) {
    if (name !== this.name) this.tool.cancel();
    this.name = name;
    this.dispatchEvent(new Event("choose"));
  }
}
