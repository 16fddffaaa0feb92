import { byId } from "../page/elements.js";
import { toggleHelp } from "../page/help.js";
import { announce } from "../page/messages.js";
import { describe } from "./edges.js";
import { LOOKS } from "./looks.js";

const CHOKE_PX = 0.25;
const PAN_SHARE = 0.15; // of the canvas

/**
 * What keys and buttons do, by the names of `shortcuts.js`.
 *
 * @param {object} parts
 * @param {import("./desk.js").Desk} parts.desk
 * @param {import("./easel.js").Easel} parts.easel
 * @param {import("./edges.js").Edges} parts.edges
 * @param {import("./toolbox.js").Toolbox} parts.toolbox
 * @param {import("./brush-panel.js").BrushPanel} parts.brush
 * @param {import("./view-bar.js").ViewBar} parts.views
 * @returns {Record<string, (event: KeyboardEvent | MouseEvent) => void>}
 */
export function commandsOf({ desk, easel, edges, toolbox, brush, views }) {
  const { viewport } = easel.stage;
  const once = (/** @type {() => void} */ work) => (/** @type {Event} */ event) => {
    if (!(event instanceof KeyboardEvent && event.repeat)) work(); // a key held down decides on one photo, not on ten
  };
  const free = (/** @type {() => void} */ work) => () => {
    if (easel.photo && !toolbox.tool.isBusy) work();
  };
  return {
    accept: once(() => desk.decide("accept")),
    reject: once(() => desk.decide("reject")),
    reopen: once(() => desk.reopen()),
    revert: free(() => revert(easel)),
    note: () => byId("note").focus(),
    next: () => step(desk, "next"),
    previous: () => step(desk, "previous"),
    queue: () => desk.leaveFor(`/${desk.query}`),
    ...Object.fromEntries(Object.keys(toolbox.tools).map((name) => [`tool-${name}`, () => toolbox.choose(name)])),
    ...Object.fromEntries(LOOKS.map((look) => [`look-${look.name}`, () => views.setLook(look)])),
    smaller: () => brush.resize(-1),
    larger: () => brush.resize(1),
    softer: () => brush.harden(-1),
    harder: () => brush.harden(1),
    close: () => toolbox.tool.close(),
    cancel: () => toolbox.tool.cancel(),
    choke: free(() => move(edges, CHOKE_PX)),
    spread: free(() => move(edges, -CHOKE_PX)),
    smooth: free(() => edges.smooth() || announce("The edge is smooth already.")),
    undo: () => undo(easel, toolbox),
    redo: free(() => tell("Again", easel.redo(), "There is nothing to do again.")),
    "next-look": () => views.turnLook(1),
    "previous-look": () => views.turnLook(-1),
    split: () => views.turnSplit(),
    heat: () => views.turnHeat(),
    "zoom-garment": () => views.zoom("garment"),
    "zoom-fit": () => views.zoom("photo"),
    "zoom-100": () => views.zoom(1),
    "zoom-200": () => views.zoom(2),
    "zoom-in": () => views.zoom(viewport.scale * Math.SQRT2),
    "zoom-out": () => views.zoom(viewport.scale / Math.SQRT2),
    pan: (event) => pan(easel.stage, /** @type {KeyboardEvent} */ (event).key),
    help: toggleHelp,
  };
}

/** @param {import("./desk.js").Desk} desk @param {"next" | "previous"} direction */
function step(desk, direction) {
  const id = desk.item?.[direction];
  if (id) desk.open(id);
  else announce(direction === "next" ? "This is the last photo of this queue." : "This is the first photo of this queue.");
}

/** @param {import("./edges.js").Edges} edges @param {number} distance */
function move(edges, distance) {
  announce(`Edge ${describe(edges.move(distance))}`);
}

/** @param {import("./easel.js").Easel} easel @param {import("./toolbox.js").Toolbox} toolbox */
function undo(easel, toolbox) {
  if (toolbox.tool.isBusy) return void (toolbox.tool.stepBack() || toolbox.tool.cancel());
  if (easel.photo) tell("Undone", easel.undo(), "There is nothing to undo.");
}

/** @param {string} done @param {string | null} label @param {string} nothing */
function tell(done, label, nothing) {
  announce(label ? `${done}: ${label}` : nothing);
}

/** @param {import("./easel.js").Easel} easel */
async function revert(easel) {
  const { photo } = easel;
  const predicted = await photo?.predicted();
  if (!predicted || easel.photo !== photo) return;
  announce(easel.replace("Back to the prediction", predicted) ? "This is the first prediction again." : "This is the first prediction.");
}

/** @param {import("./stage.js").Stage} stage @param {string} key */
function pan(stage, key) {
  const { width, height } = stage.canvas;
  const [dx, dy] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key] ?? [0, 0];
  stage.viewport.pan(dx * width * PAN_SHARE, dy * height * PAN_SHARE);
  stage.redraw();
}
