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
 * The editor's page: its parts put together, what keys and buttons do, and what is known about the photo beside it.
 *
 * @import { PlacedItem } from "../page/server.js"
 * @import { OpenPhoto } from "./photo.js"
 */

const CHOKE_PX = 0.25;
const KEEP_FILE_MS = 60_000; // until the browser has surely written it
const PAN_SHARE = 0.15; // of the canvas

/** Every key of the editor: the keyboard obeys this table, and the help shows it. @type {import("../page/page.js").Shortcut[]} */
const SHORTCUTS = [
  { group: "Decide", keys: ["a"], command: "accept", label: "Accept, with your correction if there is one" },
  { group: "Decide", keys: ["r"], command: "reject", label: "Reject" },
  { group: "Decide", keys: ["u"], command: "reopen", label: "Take the decision back" },
  { group: "Decide", keys: ["Shift+r"], command: "revert", label: "Back to the first prediction" },
  { group: "Decide", keys: ["n"], command: "note", label: "Write a note; Esc returns to the photo" },
  { group: "Decide", keys: ["ArrowRight"], command: "next", label: "Next photo" },
  { group: "Decide", keys: ["ArrowLeft"], command: "previous", label: "Previous photo" },
  { group: "Decide", keys: ["d"], command: "download", label: "Download the cutout as it is now" },
  { group: "Decide", keys: ["q"], command: "queue", label: "Back to the queue" },
  { group: "Paint", keys: ["b"], command: "tool-brush", label: "Brush: garment" },
  { group: "Paint", keys: ["e"], command: "tool-eraser", label: "Eraser: background" },
  { group: "Paint", keys: ["s"], command: "tool-smart", label: "Smart brush: the model redraws the edge" },
  { group: "Paint", keys: ["l"], command: "tool-lasso", label: "Lasso: draw around garment" },
  { group: "Paint", keys: ["p"], command: "tool-polygon", label: "Polygon: click around garment" },
  { group: "Paint", keys: ["f"], command: "tool-fill", label: "Fill hole: click into it" },
  { group: "Paint", keys: ["k"], command: "tool-keep", label: "Keep this part: click it, others go" },
  { group: "Paint", keys: ["["], command: "smaller", label: "Smaller brush" },
  { group: "Paint", keys: ["]"], command: "larger", label: "Larger brush" },
  { group: "Paint", keys: ["Shift+["], command: "softer", label: "Softer brush" },
  { group: "Paint", keys: ["Shift+]"], command: "harder", label: "Harder brush" },
  { group: "Paint", keys: ["Enter"], command: "close", label: "Close the polygon" },
  { group: "Paint", keys: ["Escape"], command: "cancel", label: "Give up the stroke or line" },
  { group: "Edge", keys: [","], command: "choke", label: "Whole edge a quarter pixel in" },
  { group: "Edge", keys: ["."], command: "spread", label: "Whole edge a quarter pixel out" },
  { group: "Edge", keys: ["m"], command: "smooth", label: "Smooth the edge" },
  { group: "Edge", keys: ["z", "Ctrl+z"], command: "undo", label: "Undo" },
  { group: "Edge", keys: ["Shift+z", "Ctrl+Shift+z", "Ctrl+y"], command: "redo", label: "Redo" },
  { group: "Look", keys: ["v"], command: "next-look", label: "Next ground" },
  { group: "Look", keys: ["Shift+v"], command: "previous-look", label: "Previous ground" },
  { group: "Look", keys: ["c"], command: "look-checks", label: "Cutout on checkerboard" },
  { group: "Look", keys: ["o"], command: "look-outline", label: "Outline" },
  { group: "Look", keys: ["w"], command: "look-mask", label: "Mask, black and white" },
  { group: "Look", keys: ["x"], command: "split", label: "Before/after: photo, prediction, off" },
  { group: "Look", keys: ["h"], command: "heat", label: "Where the model doubts" },
  { group: "Look", keys: ["i"], command: "loupe", label: "Loupe at the pointer" },
  { group: "Look", keys: ["g"], command: "zoom-garment", label: "The garment, as large as it fits" },
  { group: "Look", keys: ["0"], command: "zoom-fit", label: "Whole photo" },
  { group: "Look", keys: ["1"], command: "zoom-100", label: "100 %: one pixel is one pixel" },
  { group: "Look", keys: ["2"], command: "zoom-200", label: "200 %" },
  { group: "Look", keys: ["+", "="], command: "zoom-in", label: "Zoom in" },
  { group: "Look", keys: ["-"], command: "zoom-out", label: "Zoom out" },
  { group: "Look", keys: ["Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"], command: "pan", shown: ["Shift", "←→↑↓"], label: "Move the photo" },
  { group: "Look", keys: ["?"], command: "help", label: "This help" },
  { group: "Hand", keys: [], command: "", shown: ["Space", "drag"], label: "Move the photo" },
  { group: "Hand", keys: [], command: "", shown: ["Wheel"], label: "Zoom where the pointer is" },
  { group: "Hand", keys: [], command: "", shown: ["Alt", "stroke"], label: "The opposite: take away (Ctrl too)" },
  { group: "Hand", keys: [], command: "", shown: ["Shift", "click"], label: "Straight from where the last stroke ended" },
  { group: "Hand", keys: [], command: "", shown: ["Pen"], label: "Pressure sets the size; turned over it erases" },
];

const first = dataOf("photo-data");
const entry = loadPhoto(first);
entry.catch(() => undefined); // whoever waits for it hears of it
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
const note = /** @type {HTMLTextAreaElement} */ (byId("note"));

/** The photo was zoomed or moved. */
function showView() {
  views.showZoom();
  showBrush();
}

/** Another tool is in the hand. */
function showTool() {
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-command^=tool-]"))) {
    button.ariaPressed = String(button.dataset.command === `tool-${toolbox.name}`);
  }
  byId("hint").textContent = toolbox.tool.hint;
  byId("brush-section").classList.toggle("unused", !toolbox.tool.isRound);
  showBrush();
}

/** Another photo is on the easel. */
function showOpened() {
  const item = /** @type {PlacedItem} */ (desk.item);
  const address = `/photos/${item.id}${desk.query}`;
  if (location.pathname + location.search !== address) history.pushState(null, "", address);
  showItem();
  views.follow();
  showView();
}

/** What is known about the photo is another. */
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
  byId("photo-state").textContent = isChanged ? "Changed, not stored" : state;
  byId("photo-doubt").textContent = [VERDICTS[item.verdict], item.doubt !== null && `doubt ${percentOf(item.doubt)}`].filter(Boolean).join(" · ");
  byId("doubt-bar").hidden = item.doubt === null;
  /** @type {HTMLMeterElement} */ (byId("doubt-bar")).value = item.doubt ?? 0;
  byId("photo-reasons").replaceChildren(...[item.undelivered, ...item.reasons].filter(Boolean).map((reason) => element("li", {}, reason)));
  byId("position").textContent = `${item.position} of ${item.total}`;
  const heat = /** @type {HTMLButtonElement} */ (byId("heat-button"));
  heat.disabled = item.urls.heat === null;
  heat.title = heat.disabled ? "The model drew no map of its doubt" : "Where the model doubts (H)";
  byId("failure").hidden = item.urls.alpha !== null;
  byId("failure").textContent = `This photo could not be cut. ${item.reason}`;
  if (document.activeElement !== note) note.value = item.note;
  showSiblings(item);
}

/** The garment's other views beside it. @param {PlacedItem} item */
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

/** Where the pointer is, and the alpha there. */
function showPlace() {
  const alpha = desk.photo?.alpha;
  const [x, y] = [Math.floor(pointer.place.x), Math.floor(pointer.place.y)];
  byId("place").textContent = alpha && isOn(alpha, { x, y }) ? `${x}, ${y} · alpha ${alpha.data[y * alpha.width + x]}` : "";
}

/** @param {MouseEvent} event a click on a link that need not load a page */
function clicked(event) {
  const link = /** @type {HTMLAnchorElement | null} */ (/** @type {HTMLElement} */ (event.target).closest("#siblings a, #to-queue"));
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.id) desk.open(Number(link.dataset.id));
  else desk.leaveFor(link.href);
}

/** What keys and buttons do, by the names of the table. @returns {Record<string, (event: KeyboardEvent | MouseEvent) => void>} */
function commands() {
  const once = (/** @type {() => void} */ work) => (/** @type {Event} */ event) => {
    if (!(event instanceof KeyboardEvent && event.repeat)) work(); // a key held down decides on one photo, not on ten
  };
  const free = (/** @type {() => void} */ work) => () => {
    if (easel.photo && !toolbox.tool.isBusy) work();
  };
  const tell = (/** @type {string} */ done, /** @type {string | null} */ label) =>
    announce(label ? `${done}: ${label}` : done === "Undone" ? "There is nothing to undo." : "There is nothing to do again.");
  return {
    accept: once(() => desk.decide("accept")),
    reject: once(() => desk.decide("reject")),
    reopen: once(() => desk.reopen()),
    revert: free(() => revert()),
    note: () => byId("note").focus(),
    next: () => desk.step("next"),
    previous: () => desk.step("previous"),
    queue: () => desk.leaveFor(`/${desk.query}`),
    ...Object.fromEntries(Object.keys(toolbox.tools).map((name) => [`tool-${name}`, () => toolbox.choose(name)])),
    ...Object.fromEntries(LOOKS.map((look) => [`look-${look.name}`, () => views.setLook(look)])),
    smaller: () => brush.resize(-1),
    larger: () => brush.resize(1),
    softer: () => brush.harden(-1),
    harder: () => brush.harden(1),
    close: () => toolbox.tool.close(),
    cancel: () => toolbox.tool.cancel(),
    choke: free(() => announce(easel.moveEdge(CHOKE_PX))),
    spread: free(() => announce(easel.moveEdge(-CHOKE_PX))),
    smooth: free(() => easel.smoothEdge() || announce("The edge is smooth already.")),
    undo: () => {
      const { tool } = toolbox;
      if (tool.isBusy) tool.stepBack() || tool.cancel();
      else if (easel.photo) tell("Undone", easel.undo());
    },
    redo: free(() => tell("Again", easel.redo())),
    "next-look": () => views.turnLook(1),
    "previous-look": () => views.turnLook(-1),
    split: () => views.split.turn(),
    heat: () => views.turnHeat(),
    loupe: () => (byId("loupe-button").ariaPressed = String(stage.turnLoupe())),
    download: () => easel.photo && download(easel.photo),
    "zoom-garment": () => views.zoom("garment"),
    "zoom-fit": () => views.zoom("photo"),
    "zoom-100": () => views.zoom(1),
    "zoom-200": () => views.zoom(2),
    "zoom-in": () => views.zoom(stage.viewport.scale * Math.SQRT2),
    "zoom-out": () => views.zoom(stage.viewport.scale / Math.SQRT2),
    pan: (event) => {
      const [dx, dy] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1] }[/** @type {KeyboardEvent} */ (event).key] ?? [0, -1];
      stage.viewport.pan(dx * stage.canvas.width * PAN_SHARE, dy * stage.canvas.height * PAN_SHARE);
      stage.viewChanged();
    },
  };
}

/** @param {OpenPhoto} photo */
async function download(photo) {
  const href = URL.createObjectURL(await cutoutOf(photo));
  element("a", { href, download: `${photo.item.name}.png` }).click();
  setTimeout(() => URL.revokeObjectURL(href), KEEP_FILE_MS);
}

async function revert() {
  const { photo } = easel;
  const predicted = await photo?.predicted();
  if (!predicted || easel.photo !== photo) return;
  announce(easel.replace("Back to the prediction", predicted) ? "This is the first prediction again." : "This is the first prediction.");
}

listen(SHORTCUTS, commands());
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
await outbox.resume().catch(() => undefined);
await desk.open(first.id, entry);
watchChanges(first.revision, ({ items }) => items.length && desk.hear(items));
