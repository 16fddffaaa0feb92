"use strict";
const rows = JSON.parse(document.getElementById("rows").textContent);
const table = document.getElementById("photos"), body = table.tBodies[0];
const heads = [...table.tHead.rows[0].cells], more = document.getElementById("more");
const find = document.getElementById("find"), count = document.getElementById("count");
const decimals = {{ ([none] * 5 + metrics | map(attribute="decimals") | list + [2]) | tojson }};
let order = { column: 5, down: false }, wanted = rows, shown = 0;

function compare(a, b) {
  const x = a[order.column], y = b[order.column];
  if (x === y) return 0;
  if (x === null || y === null) return x === null ? 1 : -1;
  const sign = typeof x === "string" ? x.localeCompare(y) : x - y;
  return order.down ? -sign : sign;
}
function textOf(cell, column) {
  if (cell === null) return column === 4 ? "?" : "";
  if (typeof cell === "boolean") return cell ? "yes" : "no";
  return typeof cell === "number" && decimals[column] !== null ? cell.toFixed(decimals[column]) : String(cell);
}
function show(num) {
  for (const row of wanted.slice(shown, shown + num)) {
    const line = body.insertRow();
    row.forEach((cell, column) => {
      const place = line.appendChild(document.createElement(column ? "td" : "th"));
      place.textContent = textOf(cell, column);
    });
  }
  shown = Math.min(shown + num, wanted.length);
  more.hidden = shown >= wanted.length;
  count.textContent = `${shown} of ${wanted.length} photos`;
}
function draw() {
  const words = find.value.trim().toLowerCase().split(/\s+/);
  wanted = rows.filter((row) => {
    const text = row.slice(0, 4).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  wanted.sort(compare);
  heads.forEach((head, column) => {
    if (column === order.column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  body.replaceChildren();
  shown = 0;
  show(200);
}
heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
  order = { column, down: order.column === column && !order.down };
  draw();
}));
find.addEventListener("input", draw);
more.addEventListener("click", () => show(200));
draw();
