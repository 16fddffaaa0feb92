import { byId, dataOf } from "../page/elements.js";
import { watchConnection } from "../page/connection.js";
import { fillHelp, toggleHelp, watchHelp } from "../page/help.js";
import { listen } from "../page/keyboard.js";
import { Outbox } from "../page/outbox.js";
import { BrushPanel } from "./brush-panel.js";
import { Clock, watchActivity } from "./clock.js";
import { commandsOf } from "./commands.js";
import { Cursor } from "./cursor.js";
import { Desk } from "./desk.js";
import { Easel } from "./easel.js";
import { entry } from "./early.js";
import { Edges } from "./edges.js";
import { showFacts, showSiblings } from "./facts.js";
import { Pointer } from "./pointer.js";
import { loadSettings } from "./settings.js";
import { Shelf } from "./shelf.js";
import { SHORTCUTS } from "./shortcuts.js";
import { SplitView } from "./split.js";
import { Stage } from "./stage.js";
import { Toolbox } from "./toolbox.js";
import { ViewBar } from "./view-bar.js";
import { Viewport } from "./viewport.js";

/** @typedef {import("../page/server.js").PlacedItem} PlacedItem */

const settings = loadSettings();
const stage = new Stage(/** @type {HTMLCanvasElement} */ (byId("canvas")), new Viewport());
const easel = new Easel(stage, settings);
const toolbox = new Toolbox(easel);
const outbox = new Outbox();
const clock = new Clock();
const desk = new Desk({ easel, outbox, shelf: new Shelf(), clock, query: location.search });
const cursor = new Cursor(stage);
const showBrush = () => cursor.show({ isRound: toolbox.tool.isRound, size: settings.size });
const brush = new BrushPanel(settings, showBrush);
const views = new ViewBar(easel, new SplitView(stage), () => showView());
const pointer = new Pointer(stage, () => toolbox.tool);
const commands = commandsOf({ desk, easel, edges: new Edges(easel), toolbox, brush, views });

/** The photo was zoomed or moved. */
function showView() {
  views.showZoom();
  showBrush();
}

/** Another tool is in the hand. */
function showTool() {
  for (const button of document.querySelectorAll("[data-command^=tool-]")) {
    button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.command === `tool-${toolbox.name}`));
  }
  byId("hint").textContent = toolbox.hint;
  byId("brush-section").classList.toggle("unused", !toolbox.tool.isRound);
  showBrush();
}

/** What is known about the photo is another. */
function showItem() {
  if (!desk.item) return;
  showFacts(desk.item, desk.photo?.isChanged ?? false);
  const note = /** @type {HTMLTextAreaElement} */ (byId("note"));
  if (document.activeElement !== note) note.value = desk.item.note;
}

/** Another photo is on the easel. */
function showOpened() {
  const item = /** @type {PlacedItem} */ (desk.item);
  const address = `/photos/${item.id}${desk.query}`;
  if (location.pathname + location.search !== address) history.pushState(null, "", address);
  showItem();
  showSiblings(item, desk.query);
  views.follow();
  showView();
}

/** @param {Event} event of a click on a button with a command */
function obey(event) {
  const button = /** @type {HTMLElement} */ (event.target).closest("[data-command]");
  if (button instanceof HTMLElement) commands[button.dataset.command ?? ""]?.(/** @type {MouseEvent} */ (event));
}

/** @param {MouseEvent} event a click on a link that need not load a page */
function follow(event) {
  const link = /** @type {HTMLElement} */ (event.target).closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.id) desk.open(Number(link.dataset.id));
  else desk.leaveFor(link.href);
}

/** Listen to everything but the tools. */
function listenToPage() {
  listen(SHORTCUTS, commands);
  document.addEventListener("click", obey);
  byId("siblings").addEventListener("click", follow);
  byId("to-queue").addEventListener("click", follow);
  byId("note").addEventListener("change", (event) => desk.writeNote(/** @type {HTMLTextAreaElement} */ (event.target).value));
  byId("note").addEventListener("keydown", (event) => event.key === "Escape" && stage.canvas.focus());
  addEventListener("popstate", () => desk.open(Number(location.pathname.split("/").at(-1))));
  toolbox.addEventListener("choose", showTool);
  desk.addEventListener("open", showOpened);
  desk.addEventListener("update", showItem);
  outbox.addEventListener("waiting", () => (byId("saving").hidden = outbox.waiting.length === 0));
  pointer.onview = showView;
  pointer.onplace = showPlace;
  watchConnection();
  watchActivity(clock);
  watchHelp();
}

/** Where the pointer is, and the alpha there. @param {{x: number, y: number}} place */
function showPlace({ x, y }) {
  const alpha = desk.photo?.alpha;
  const isOn = alpha && x >= 0 && y >= 0 && x < alpha.width && y < alpha.height;
  const value = isOn ? alpha.data[Math.floor(y) * alpha.width + Math.floor(x)] : 0;
  byId("place").textContent = isOn ? `${Math.floor(x)}, ${Math.floor(y)} · alpha ${value}` : "";
}

/** Give the canvas as many pixels as the screen has there. */
function followSize() {
  new ResizeObserver(([entry]) => {
    const size = entry.devicePixelContentBoxSize?.[0];
    stage.canvas.width = size?.inlineSize ?? Math.round(entry.contentRect.width * devicePixelRatio);
    stage.canvas.height = size?.blockSize ?? Math.round(entry.contentRect.height * devicePixelRatio);
    stage.viewport.resize(stage.canvas);
    stage.redraw();
    showView();
  }).observe(stage.canvas);
}

/** Tell the page, and its tests, which photo is seen. */
function tellWhatIsSeen() {
  stage.onpaint = () => {
    const id = stage.picture && desk.item ? String(desk.item.id) : "";
    if ((stage.canvas.dataset.photo ?? "") === id) return;
    stage.canvas.dataset.photo = id;
    if (id) performance.mark("photo-seen", { detail: id });
  };
}

fillHelp(SHORTCUTS);
byId("help-close").addEventListener("click", toggleHelp);
followSize();
tellWhatIsSeen();
listenToPage();
showTool();
const first = dataOf("photo-data");
await outbox.resume().catch(() => undefined);
await desk.open(first.id, entry);
