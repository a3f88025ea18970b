// Tables that a phone has no room for: each cell learns the name of its column, and parts.css stacks them.

const MOST = 3; // columns that stand side by side on a phone, if they are narrow
const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TFOOT: "rowgroup", TR: "row", TD: "cell" };

for (const table of document.querySelectorAll(".table")) name(table);
new MutationObserver(() => {
  for (const table of document.querySelectorAll(".table:not([role])")) name(table);
}).observe(document.querySelector("main"), { childList: true, subtree: true });

function name(table) {
  table.setAttribute("role", "table"); // a table that is laid out as something else would be none to a reader
  const columns = [...(table.tHead?.rows[0]?.cells ?? [])];
  const around = table.parentElement;
  const isWide = columns.length > MOST || table.querySelector("td :is(input, select)") || around.scrollWidth > around.clientWidth;
  if (!isWide || table.classList.contains("sums")) return;
  table.classList.add("rows");
  for (const part of table.querySelectorAll("thead, tbody, tfoot, tr, td")) part.setAttribute("role", ROLES[part.tagName]);
  for (const head of table.querySelectorAll("th")) {
    head.setAttribute("role", head.scope === "row" ? "rowheader" : "columnheader");
  }
  for (const row of table.querySelectorAll(":is(tbody, tfoot) > tr")) {
    [...row.cells].forEach((cell, place) => {
      const column = columns[place];
      const isNamed = column && cell.tagName === "TD" && place > 0 && !column.querySelector(".visually-hidden");
      if (isNamed && column.textContent.trim()) cell.dataset.column = column.textContent.trim();
    });
  }
}
