// A click on a heading sorts the table by that column, as numbers where they are some.
"use strict";
for (const head of document.querySelectorAll(".sortable th")) head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex, order = head.dataset.order === "1" ? -1 : 1;
  for (const other of head.parentNode.cells) delete other.dataset.order;
  head.dataset.order = order;
  const keyed = [...body.rows].map(row => { const text = row.cells[column].textContent.trim(), x = parseFloat(text); return { row, text, x }; });
  const numbers = keyed.some(k => !isNaN(k.x));
  keyed.sort((a, b) => order * (numbers ? (isNaN(a.x) ? Infinity : a.x) - (isNaN(b.x) ? Infinity : b.x) || 0 : a.text.localeCompare(b.text)));
  for (const { row } of keyed) body.append(row);
});
