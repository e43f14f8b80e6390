// ---- rows to look at -----------------------------------------------------------------------------------------------

const SHOWN = 4;

function drawLists() {
  byId("lists").replaceChildren(...about.lists.map((list, at) => {
    const rows = list.places.slice(0, SHOWN).map((i) => element("li", {}, item(i)));
    const more = element("button", { type: "button", class: "more", click: () => showOnly(list) },
      list.places.length === 1 ? "This row in the table" : `All ${list.places.length} in the table`);
    return element("section", { class: "card", "aria-labelledby": "list" + at }, element("h3", { id: "list" + at }, list.title),
      element("p", { class: "quiet" }, list.about), element("ul", {}, ...rows), more);
  }));
}

function showOnly(list) {
  setOnly(list);
  goToTable();
}

function goToTable() {
  byId("table").scrollIntoView();
  byId("table").focus({ preventScroll: true });
}

// The table has only the rows of a list, in its order or another; null = all rows again.
function setOnly(list, key = list ? null : "place") {
  filters.only = list;
  byId("only").textContent = list ? `${list.title} ✕` : "";
  byId("only").hidden = !list;
  sortBy(key);
  filterRows();
  if (map) followTable();
}

// ---- the table: only the rows in sight are in the document ---------------------------------------------------------

// Rows from `first` to before `last` are in the document; `top` and `seen` are pixels of the scroller, asked for only when
// they change, since the answer costs a layout of the page.
const table = { first: -1, last: -1, focus: 0, top: 0, seen: 0 };
const filters = { text: "", kept: "", flag: 0, only: null, fields: {} };
const sorting = { key: "place", down: false };
let shown = new Uint32Array(0); // places of the rows in the table, in its order
let found = null; // all texts in small letters, made when first searched

function tableColumns() {
  const rated = about.ratings ? [{ title: "label probabilities", cell: bars, values: column.spread, hint: "sorts by how far the prompts and models disagree" }] : [];
  return [
    { title: "row", values: column.row },
    { title: "rank", values: column.place, cell: (i) => (column.place[i] ? count(column.place[i]) : "–"), number: true },
    ...(about.scores ? [{ title: "score", values: column.score, cell: (i) => figure(column.score[i]), number: true }] : []),
    { title: "kept", values: null, cell: badge },
    { title: "question and answer", cell: preview, text: true },
    ...rated,
    ...about.parts.map((name, at) => ({ title: name, values: column["part" + at], cell: (i) => figure(column["part" + at][i]), number: true })),
    { title: "words", values: column.words, cell: (i) => count(column.words[i]), number: true },
    ...(about.tokens ? [{ title: "tokens ≈", values: column.tokens, cell: (i) => count(column.tokens[i]), number: true }] : []),
    ...about.fields.map((field, f) => ({ title: field.name, values: column["field" + f], cell: (i) => fieldValue(f, i) })),
    ...(about.flags.length ? [{ title: "noted", values: column.flags, cell: flagWords }] : []),
    { title: "why", cell: explain },
    ...(about.near ? [{ title: "like row", values: column.near, cell: (i) => (column.near[i] ? String(column.near[i] - 1) : "") }] : []),
  ];
}

function preview(i) {
  return element("div", {}, ...[texts.question, texts.answer].map((all) => element("div", { dir: "auto" }, all ? all[i] : "")));
}

const chance = (i, model, prompt, label) => {
  const { models, prompts, labels } = about.ratings;
  const value = column.chances[((i * models.length + model) * prompts.length + prompt) * labels.length + label];
  return value === 65535 ? NaN : value / 10000;
};

// The probabilities of the labels, a group of bars for each prompt of each model.
function bars(i) {
  const { models, prompts, labels } = about.ratings;
  const width = labels.length * 3 + 4;
  let path = "";
  const likely = [];
  const groups = Math.min(models.length * prompts.length, 10);
  for (let group = 0; group < groups; group++) {
    const chances = labels.map((_, label) => chance(i, Math.floor(group / prompts.length), group % prompts.length, label));
    chances.forEach((value, label) => {
      if (value > 0) path += `M${group * width + label * 3} 20v${-20 * value}h2.4v${20 * value}z`;
    });
    likely.push(Number.isNaN(chances[0]) ? "none" : labels[chances.indexOf(Math.max(...chances))]);
  }
  const made = drawing("svg", { class: "bars", viewBox: `0 0 ${groups * width} 20`, width: groups * width * 1.3, role: "img", "aria-label": `most likely: ${likely.join(", ")}` });
  for (let group = 0; group < groups; group++) made.append(drawing("rect", { x: group * width - 1, width: width - 2, height: 20 }));
  made.append(drawing("path", { d: path }));
  return made;
}

function choiceOf(label, options, change) {
  const made = element("select", { "aria-label": label, change: () => (change(made.value), filterRows()) },
    ...options.map(([value, text]) => element("option", { value }, text)));
  return element("label", {}, label, made);
}

function drawTable() {
  table.columns = tableColumns();
  const search = element("input", { type: "search", id: "search", input: () => ((filters.text = search.value.toLowerCase()), filterRows()) });
  const controls = element("div", { class: "filters" },
    element("label", {}, `Search the first ${about.preview} characters`, search),
    choiceOf("Kept", [["", "all"], ["yes", "kept"], ["no", "not kept"]], (value) => (filters.kept = value)));
  if (about.flags.length) {
    controls.append(choiceOf("Noted", [["0", "all"], ["255", "anything"], ...about.flags], (value) => (filters.flag = Number(value))));
  }
  about.fields.forEach((field, f) => {
    const options = field.values.map((value, at) => [String(at), value]).sort((a, b) => a[1].localeCompare(b[1]));
    controls.append(choiceOf(field.name, [["", "all"], ...options], (value) => (filters.fields[f] = value)));
  });
  controls.append(element("button", { type: "button", id: "only", hidden: "", title: "Show the other rows again", click: () => setOnly(null) }));
  table.status = element("p", { role: "status", class: "quiet" });
  table.head = element("tr", {}, ...table.columns.map((each, at) => {
    const sort = element("button", { type: "button", title: each.hint ?? null, click: () => (sortBy(at), filterRows()) }, each.title);
    return element("th", { scope: "col", "aria-sort": each.values ? "none" : null }, each.values ? sort : each.title);
  }));
  [table.before, table.after] = [0, 1].map(() => element("tbody", { class: "space", "aria-hidden": "true" },
    element("tr", {}, element("td", { colspan: table.columns.length }))));
  table.body = element("tbody", { class: "there", keydown: moveFocus });
  table.table = element("table", { "aria-label": "All rows" }, element("thead", {}, table.head), table.before, table.body, table.after);
  table.scroller = element("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "Table of rows",
    scroll: () => ((table.top = table.scroller.scrollTop), renderRows(false)) }, table.table);
  byId("rows").append(controls, table.status, table.scroller);
  table.height = parseFloat(getComputedStyle(document.documentElement).fontSize) * 3.25;
  new ResizeObserver(() => ((table.seen = table.scroller.clientHeight), renderRows(true))).observe(table.scroller);
  sortBy("place");
  filterRows();
}

// By a column's place; "place" = by rank; null = as they come. The same column again turns the order round.
function sortBy(key) {
  const numbers = key !== null && key !== "place" && table.columns[key].title !== "rank";
  sorting.down = sorting.key === key && key !== "place" ? !sorting.down : numbers && table.columns[key].number === true;
  sorting.key = key;
  [...table.head.children].forEach((cell, at) => {
    if (cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", at !== key ? "none" : sorting.down ? "descending" : "ascending");
  });
}

function sorted(places) {
  if (sorting.key === null) return places;
  const title = sorting.key === "place" ? "rank" : table.columns[sorting.key].title;
  const values = sorting.key === "place" ? column.place : table.columns[sorting.key].values;
  const missing = title === "rank" ? (value) => value === 0 : (value) => value !== value;
  const sign = sorting.down ? -1 : 1;
  return places.sort((a, b) => missing(values[a]) - missing(values[b]) || sign * (values[a] - values[b]) || a - b);
}

function filterRows() {
  const named = filters.only && new Set(filters.only.places);
  if (filters.text && !found && texts.question) found = texts.question.map((text, i) => `${text}\n${texts.answer[i]}`.toLowerCase());
  const fits = (i) =>
    (!named || named.has(i)) &&
    (!filters.kept || (filters.kept === "yes") === isKept(i)) &&
    (!filters.flag || (column.flags[i] & filters.flag) > 0) &&
    (!filters.text || !found || found[i].includes(filters.text)) &&
    Object.entries(filters.fields).every(([f, value]) => value === "" || column["field" + f][i] === Number(value));
  const every = sorting.key === null && filters.only ? filters.only.places : column.row.keys();
  shown = sorted(Uint32Array.from([...every].filter(fits)));
  table.focus = 0;
  const rows = shown.length === 1 ? "1 row" : `${count(shown.length)} rows`;
  table.status.textContent = shown.length === P ? rows : `${rows} of ${count(P)}`;
  table.table.setAttribute("aria-rowcount", shown.length + 1);
  scrollTable(0);
  renderRows(true);
}

function renderRows(anew) {
  const first = Math.max(0, Math.floor(table.top / table.height) - 8);
  const last = Math.min(shown.length, first + Math.ceil(table.seen / table.height) + 16);
  if (!anew && first === table.first && last === table.last) return;
  const focused = table.body.contains(document.activeElement);
  [table.first, table.last] = [first, last];
  table.body.replaceChildren(...Array.from(shown.subarray(first, last), (i, at) => rowOf(i, first + at)));
  table.before.firstChild.firstChild.style.height = `${first * table.height}px`;
  table.after.firstChild.firstChild.style.height = `${(shown.length - last) * table.height}px`;
  table.before.hidden = first === 0;
  table.after.hidden = last === shown.length;
  if (focused) focusRow(table.focus);
}

function rowOf(i, at) {
  const open = element("button", { type: "button", class: "plain", tabindex: at === table.focus ? 0 : -1, "aria-label": `Open row ${column.row[i]}`,
    focus: () => (table.focus = at) }, String(column.row[i]));
  const cells = table.columns.map((each, place) =>
    element("td", { class: each.number ? "number" : each.text ? "text" : null, dir: each.text || each.number ? null : "auto" },
      place === 0 ? open : each.cell(i)));
  return element("tr", { "aria-rowindex": at + 2, click: () => openRow(i, at) }, ...cells);
}

function focusRow(at) {
  const button = table.body.children[at - table.first]?.querySelector("button");
  if (button) button.focus({ preventScroll: true });
}

function moveFocus(event) {
  const page = Math.floor(table.seen / table.height) - 1;
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -shown.length, End: shown.length };
  if (!(event.key in steps)) return;
  event.preventDefault();
  table.focus = Math.min(Math.max(table.focus + steps[event.key], 0), shown.length - 1);
  const top = table.focus * table.height;
  const room = table.seen - 2 * table.height;
  if (top < table.top) scrollTable(top);
  else if (top > table.top + room) scrollTable(top - room);
  renderRows(true);
  focusRow(table.focus);
}

function scrollTable(top) {
  if (top !== table.top) table.scroller.scrollTop = table.top = top;
}
