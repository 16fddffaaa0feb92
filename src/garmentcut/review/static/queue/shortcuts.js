/**
 * Every key of the queue: the keyboard obeys this table, and the help shows it.
 *
 * @type {import("../page/keyboard.js").Shortcut[]}
 */
export const SHORTCUTS = [
  { group: "Choose", keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], command: "walk", shown: ["←", "→", "↑", "↓"], label: "Go to another photo" },
  { group: "Choose", keys: ["Enter"], command: "open", label: "Open the photo, or the most doubtful" },
  { group: "Decide", keys: ["a"], command: "accept", label: "Accept the chosen photo" },
  { group: "Decide", keys: ["r"], command: "reject", label: "Reject the chosen photo" },
  { group: "Decide", keys: ["u"], command: "reopen", label: "Take the decision back" },
  { group: "List", keys: ["g"], command: "group", label: "Sort by garment, its views together; by doubt" },
  { group: "List", keys: ["/"], command: "search", label: "Search" },
  { group: "List", keys: ["?"], command: "help", label: "This help" },
];
