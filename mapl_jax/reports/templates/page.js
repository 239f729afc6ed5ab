/* Sorts tables by a click on a column's name, hides a series by a click on its name in the legend, and
   filters rows and cards. Without it the page says all the same. */
"use strict";
const value = (text) => {
  const found = text.replaceAll(",", "").replace("\u2212", "-").match(/-?\d+(\.\d+)?/);
  return found ? Number(found[0]) : null;
};
const cellAt = (row, column) => {
  let at = 0;
  for (const cell of row.cells) {
    at += cell.colSpan;
    if (column < at) return cell.textContent.trim();
  }
  return "";
};
const order = (one, other) => {
  const [a, b] = [value(one), value(other)];
  if (a !== null && b !== null && a !== b) return a - b;
  if ((a === null) !== (b === null)) return a === null ? 1 : -1;
  return one.localeCompare(other);
};
for (const table of document.querySelectorAll("table.sortable")) {
  let column = 0;
  for (const head of table.tHead.rows[0].cells) {
    column += head.colSpan;
    const last = column - 1;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => !row.classList.contains("head"));
        rows.sort((a, b) => (down ? -1 : 1) * order(cellAt(a, last), cellAt(b, last)));
        body.append(...rows);
      }
    });
  }
}
for (const key of document.querySelectorAll("svg .key")) {
  const kind = ["base", "intra", "inter", "fourth", "soft", "ink"].find((name) => name === key.dataset.kind);
  if (!kind) continue;
  const of = (shape) => key.ownerSVGElement.querySelectorAll(shape);
  const marks = [...of(`.${kind}`)].filter((mark) => !mark.closest(".key") && mark.tagName !== "text");
  if (!marks.length) continue;
  key.classList.add("live");
  key.addEventListener("click", () => {
    const off = key.classList.toggle("off");
    for (const mark of marks) mark.classList.toggle("hidden", off);
  });
}
for (const filter of document.querySelectorAll(".filter")) {
  const rows = filter.parentElement.querySelectorAll("[data-words]");
  filter.hidden = false;
  const show = (wanted) => {
    for (const row of rows) row.hidden = !row.dataset.words.toLowerCase().includes(wanted);
  };
  const field = filter.querySelector("input");
  if (field) field.addEventListener("input", () => show(field.value.toLowerCase()));
  for (const button of filter.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      for (const other of filter.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
      show(button.value);
    });
  }
}
