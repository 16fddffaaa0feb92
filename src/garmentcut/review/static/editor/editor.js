import { announce, byId, dataOf, element, listen, percentOf, STATES, VERDICTS, viewName } from "../page/page.js";
import { watchChanges } from "../page/server.js";
import { Outbox } from "../page/store.js";
import { isOn } from "../painting/plane.js";
import { BrushPanel, loadSettings, SplitView, ViewBar } from "./controls.js";
import { Desk } from "./desk.js";
import { cutoutOf, LOOKS } from "./looks.js";
import { Easel, loadPhoto } from "./photo.js";
import { Cursor, Pointer } from "./pointer.js";
import { Stage } from "./stage.js";
import { Toolbox } from "./tools.js";

/**
 * The editor's page: connects its parts, the commands of keys and buttons, and the information about the photo.
 *
 * @import { PlacedItem } from "../page/server.js"
 */

const CHOKE_PX = 0.25;
const KEEP_FILE_MS = 60_000; // by then the browser has saved it
const PAN_SHARE = 0.15; // of the canvas
const ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];

const first = dataOf("photo-data");
const entry = loadPhoto(first);
entry.catch(() => undefined); // reported where it is awaited
const settings = loadSettings();
const stage = new Stage(byId("canvas"));
const easel = new Easel(stage, settings);
const toolbox = new Toolbox(easel);
const outbox = new Outbox();
const desk = new Desk(easel, outbox, location.search);
const cursor = new Cursor(stage);
const showBrush = () => cursor.show(toolbox.tool.isRound, settings.size);
const brush = new BrushPanel(settings, showBrush);
const views = new ViewBar(easel, new SplitView(stage));
const pointer = new Pointer(stage, () => toolbox.tool);
const note = byId("note");

/** The photo was zoomed or moved. */
function showView() {
  views.showZoom();
  showBrush();
}

/** Another tool was selected. */
function showTool() {
  for (const button of document.querySelectorAll("[data-command^=tool-]")) {
    button.ariaPressed = String(button.dataset.command === `tool-${toolbox.name}`);
  }
  byId("hint").textContent = toolbox.tool.hint;
  byId("brush-section").classList.toggle("unused", !toolbox.tool.isRound);
  showBrush();
}

/** Another photo was opened. */
function showOpened() {
  const item = desk.item;
  const address = `/photos/${item.id}${desk.query}`;
  if (location.pathname + location.search !== address) history.pushState(null, "", address);
  showItem();
  views.follow();
  showView();
}

/** The information about the photo has changed. */
function showItem() {
  const { item } = desk;
  if (!item) return;
  document.title = `${item.name} · garmentcut`;
  byId("photo-name").textContent = item.name;
  byId("photo-name").title = item.place;
  byId("photo-view").textContent = viewName(item.view);
  const isChanged = desk.photo?.isChanged ?? false;
  const state = item.state === "open" && item.has_draft ? "Open, with draft" : STATES[item.state];
  byId("photo-state").className = `state ${isChanged ? "changed" : item.state}`;
  byId("photo-state").textContent = isChanged ? "Changed, not saved" : state;
  byId("photo-doubt").textContent = [VERDICTS[item.verdict], item.doubt !== null && `doubt ${percentOf(item.doubt)}`].filter(Boolean).join(" · ");
  byId("doubt-bar").hidden = item.doubt === null;
  byId("doubt-bar").value = item.doubt ?? 0;
  byId("photo-reasons").replaceChildren(...[item.undelivered, ...item.reasons].filter(Boolean).map((reason) => element("li", {}, reason)));
  byId("reopen-button").hidden = ["open", "failed"].includes(item.state);
  byId("position").textContent = `${item.position} of ${item.total}`;
  const heat = byId("heat-button");
  heat.disabled = item.urls.heat === null;
  heat.title = heat.disabled ? "The model gave no map of its doubt" : "Where the model is unsure (H)";
  byId("failure").hidden = item.urls.alpha !== null;
  byId("failure").textContent = `This photo could not be cut. ${item.reason}`;
  if (document.activeElement !== note) note.value = item.note;
  showSiblings(item);
}

/** Show the garment's other views. @param {PlacedItem} item */
function showSiblings({ id, siblings }) {
  const key = [id, ...siblings.map((sibling) => `${sibling.id} ${sibling.state} ${sibling.urls.thumbnail}`)].join();
  if (byId("siblings").dataset.shown === key) return; // new pictures would flicker
  byId("siblings").dataset.shown = key;
  const links = siblings.map((sibling) => {
    const [view, state] = [viewName(sibling.view), STATES[sibling.state]];
    const picture = sibling.urls.alpha === null ? element("div.missing") : element("img", { src: sibling.urls.thumbnail, alt: "", decoding: "async" });
    const dot = element(`span.dot.${sibling.state}`, { title: state });
    const address = { href: `/photos/${sibling.id}${desk.query}`, "data-id": sibling.id, "aria-label": `${view}, ${state}` };
    const link = element("a", address, picture, element("span", {}, dot, view));
    if (sibling.id === id) link.ariaCurrent = "true";
    return element("li", {}, link);
  });
  byId("siblings-section").hidden = siblings.length < 2;
  byId("siblings").replaceChildren(...links);
}

/** Show the pointer's position and the alpha there. */
function showPlace() {
  const alpha = desk.photo?.alpha;
  const [x, y] = [Math.floor(pointer.place.x), Math.floor(pointer.place.y)];
  byId("place").textContent = alpha && isOn(alpha, { x, y }) ? `${x}, ${y} · alpha ${alpha.data[y * alpha.width + x]}` : "";
}

/** @param {MouseEvent} event a click on a link that need not load a page */
function clicked(event) {
  const link = event.target.closest("#siblings a, #to-queue");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.id) desk.open(Number(link.dataset.id));
  else desk.leaveFor(link.href);
}

/** All commands of the editor, for keys, buttons and the help. @type {import("../page/page.js").Commands} */
const COMMANDS = {
  Decide: {
    accept: { keys: ["a"], label: "Accept, with your correction if there is one", run: once(() => desk.decide("accept")) },
    reject: { keys: ["r"], label: "Reject", run: once(() => desk.decide("reject")) },
    reopen: { keys: ["u"], label: "Undo the decision", run: once(() => desk.reopen()) },
    revert: { keys: ["Shift+r"], label: "Back to the first prediction", run: free(revert) },
    note: { keys: ["n"], label: "Write a note; Esc returns to the photo", run: () => note.focus() },
    next: { keys: ["ArrowRight"], label: "Next photo", run: () => desk.step("next") },
    previous: { keys: ["ArrowLeft"], label: "Previous photo", run: () => desk.step("previous") },
    download: { keys: ["d"], label: "Download the cutout as it is now", run: () => easel.photo && download(easel.photo) },
    queue: { keys: ["q"], label: "Back to the queue", run: () => desk.leaveFor(`/${desk.query}`) },
  },
  Paint: {
    "tool-brush": { keys: ["b"], label: "Brush: garment", run: () => toolbox.choose("brush") },
    "tool-eraser": { keys: ["e"], label: "Eraser: background", run: () => toolbox.choose("eraser") },
    "tool-smart": { keys: ["s"], label: "Smart brush: the model redraws the edge", run: () => toolbox.choose("smart") },
    "tool-lasso": { keys: ["l"], label: "Lasso: draw around garment", run: () => toolbox.choose("lasso") },
    "tool-polygon": { keys: ["p"], label: "Polygon: click around garment", run: () => toolbox.choose("polygon") },
    "tool-fill": { keys: ["f"], label: "Fill hole: click into it", run: () => toolbox.choose("fill") },
    "tool-keep": { keys: ["k"], label: "Keep this part: click it, others are removed", run: () => toolbox.choose("keep") },
    smaller: { keys: ["["], label: "Smaller brush", run: () => brush.resize(-1) },
    larger: { keys: ["]"], label: "Larger brush", run: () => brush.resize(1) },
    softer: { keys: ["Shift+["], label: "Softer brush", run: () => brush.harden(-1) },
    harder: { keys: ["Shift+]"], label: "Harder brush", run: () => brush.harden(1) },
    close: { keys: ["Enter"], label: "Close the polygon", run: () => toolbox.tool.close() },
    cancel: { keys: ["Escape"], label: "Cancel the stroke or line", run: () => toolbox.tool.cancel() },
  },
  Edge: {
    choke: { keys: [","], label: "Move the whole edge in by a quarter pixel", run: free(() => announce(easel.moveEdge(CHOKE_PX))) },
    spread: { keys: ["."], label: "Move the whole edge out by a quarter pixel", run: free(() => announce(easel.moveEdge(-CHOKE_PX))) },
    smooth: { keys: ["m"], label: "Smooth the edge", run: free(() => easel.smoothEdge() || announce("The edge is already smooth.")) },
    undo: { keys: ["z", "Ctrl+z"], label: "Undo", run: undo },
    redo: { keys: ["Shift+z", "Ctrl+Shift+z", "Ctrl+y"], label: "Redo", run: free(redo) },
  },
  Look: {
    "next-look": { keys: ["v"], label: "Next background", run: () => views.turnLook(1) },
    "previous-look": { keys: ["Shift+v"], label: "Previous background", run: () => views.turnLook(-1) },
    "look-checks": { keys: ["c"], label: "Cutout on checkerboard", run: () => views.setLook("checks") },
    "look-outline": { keys: ["o"], label: "Outline", run: () => views.setLook("outline") },
    "look-mask": { keys: ["w"], label: "Mask, black and white", run: () => views.setLook("mask") },
    split: { keys: ["x"], label: "Before/after: photo, prediction, off", run: () => views.split.turn() },
    heat: { keys: ["h"], label: "Where the model is unsure", run: () => views.turnHeat() },
    loupe: { keys: ["i"], label: "Loupe at the pointer", run: () => (byId("loupe-button").ariaPressed = String(stage.turnLoupe())) },
    "zoom-garment": { keys: ["g"], label: "The garment, as large as it fits", run: () => views.zoom("garment") },
    "zoom-fit": { keys: ["0"], label: "Whole photo", run: () => views.zoom("photo") },
    "zoom-100": { keys: ["1"], label: "100 %: one pixel is one pixel", run: () => views.zoom(1) },
    "zoom-200": { keys: ["2"], label: "200 %", run: () => views.zoom(2) },
    "zoom-in": { keys: ["+", "="], label: "Zoom in", run: () => views.zoom(stage.viewport.scale * Math.SQRT2) },
    "zoom-out": { keys: ["-"], label: "Zoom out", run: () => views.zoom(stage.viewport.scale / Math.SQRT2) },
    pan: { keys: ARROWS.map((key) => `Shift+${key}`), shown: ["Shift", "←→↑↓"], label: "Move the photo", run: pan },
    help: { keys: ["?"], label: "This help" },
  },
  Pointer: {
    drag: { shown: ["Space", "drag"], label: "Move the photo" },
    wheel: { shown: ["Wheel"], label: "Zoom where the pointer is" },
    alt: { shown: ["Alt", "stroke"], label: "The opposite: erase (Ctrl too)" },
    shift: { shown: ["Shift", "click"], label: "Straight line from where the last stroke ended" },
    pen: { shown: ["Pen"], label: "Pressure sets the size; the eraser end erases" },
  },
};

/** A command that a key held down runs only once, so that it decides on one photo and not on ten. */
function once(work) {
  return (event) => event.repeat || work();
}

/** A command that does not run during a stroke. */
function free(work) {
  return () => easel.photo && !toolbox.tool.isBusy && work();
}

function undo() {
  const { tool } = toolbox;
  if (tool.isBusy) return tool.stepBack() || tool.cancel();
  if (!easel.photo) return;
  const label = easel.undo();
  announce(label ? `Undone: ${label}` : "There is nothing to undo.");
}

function redo() {
  const label = easel.redo();
  announce(label ? `Redone: ${label}` : "There is nothing to redo.");
}

function pan({ key }) {
  const [dx, dy] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
  stage.viewport.pan(dx * stage.canvas.width * PAN_SHARE, dy * stage.canvas.height * PAN_SHARE);
  stage.viewChanged();
}

async function download(photo) {
  const href = URL.createObjectURL(await cutoutOf(photo));
  element("a", { href, download: `${photo.item.name}.png` }).click();
  setTimeout(() => URL.revokeObjectURL(href), KEEP_FILE_MS);
}

async function revert() {
  const { photo } = easel;
  const predicted = await photo?.predicted();
  if (!predicted || easel.photo !== photo) return;
  announce(easel.replace("Back to the prediction", predicted) ? "This is the first prediction again." : "This is already the first prediction.");
}

listen(COMMANDS, Object.fromEntries(LOOKS.map(({ name }) => [`look-${name}`, () => views.setLook(name)])));
document.addEventListener("click", clicked);
note.addEventListener("change", () => desk.writeNote(note.value));
note.addEventListener("keydown", (event) => event.key === "Escape" && stage.canvas.focus());
addEventListener("popstate", () => desk.open(Number(location.pathname.split("/").at(-1))));
toolbox.addEventListener("choose", showTool);
desk.addEventListener("open", showOpened);
desk.addEventListener("update", showItem);
outbox.addEventListener("waiting", () => (byId("saving").hidden = outbox.waiting.length === 0));
pointer.addEventListener("place", showPlace);
stage.onview = showView;
desk.clock.watch();
showTool();
await outbox.resume();
await desk.open(first.id, entry);
watchChanges(first.revision, ({ items }) => items.length && desk.hear(items));
