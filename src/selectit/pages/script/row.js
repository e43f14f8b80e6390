// ---- one row -------------------------------------------------------------------------------------------------------

const ROLES = { user: "user", assistant: "assistant", system: "system", unrated: "assistant, not to be learned and not rated", call: "call of a tool", tool: "tool" };
let conversations = null; // a promise of them by row, once they are wanted
const readConversations = () => (conversations ??= unpackConversations());

async function unpackConversations() {
  const all = JSON.parse(new TextDecoder().decode(await unpack("conversations")));
  return new Map(all.map((each) => [each.row, each]));
}

async function openRow(i, at = null) {
  const dialog = byId("row");
  const step = (by) => element("button", { type: "button", disabled: at === null || !(at + by in shown) ? "" : null, "aria-label": by < 0 ? "Row before" : "Row after",
    click: () => openRow(shown[at + by], at + by) }, by < 0 ? "←" : "→");
  const title = element("h2", { id: "row-title", tabindex: -1 }, `Row ${column.row[i]} `, badge(i));
  const close = element("button", { type: "button", click: () => dialog.close() }, "Close");
  const top = element("div", { class: "top" }, title, ...(at === null ? [] : [step(-1), step(1)]), close);
  const body = element("div", {}, factsOf(i), ...(about.ratings ? [ratingsOf(i)] : []));
  dialog.replaceChildren(top, body);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  title.focus();
  const known = await readConversations();
  await readTexts();
  body.prepend(element("p", {}, explain(i)));
  body.append(...turnsOf(i, known.get(column.row[i])));
}

function factsOf(i) {
  const facts = table.columns.filter((each) => !each.text && each.cell && !["kept", "why", "label probabilities", "like row"].includes(each.title));
  const list = element("dl", { class: "facts" }, ...facts.map((each) => element("div", {}, element("dt", {}, each.title), element("dd", { dir: "auto" }, each.cell(i) || "–"))));
  if (about.near && column.near[i]) {
    const twin = placeOf(column.near[i] - 1);
    const name = `row ${column.near[i] - 1}`;
    list.append(element("div", {}, element("dt", {}, "nearest kept row"),
      element("dd", {}, twin < 0 ? name : element("button", { type: "button", click: () => openRow(twin) }, name))));
  }
  return list;
}

function placeOf(row) {
  return about.rows === about.total ? row : column.row.indexOf(row);
}

function ratingsOf(i) {
  const { models, prompts, labels } = about.ratings;
  const head = element("tr", {}, ...(models.length > 1 ? [element("th", { scope: "col" }, "model")] : []), element("th", { scope: "col" }, "prompt"),
    ...labels.map((label) => element("th", { scope: "col", class: "number" }, label)), element("th", { scope: "col", class: "number" }, "together"));
  const lines = models.flatMap((model, m) => prompts.map((prompt, k) => {
    const chances = labels.map((_, label) => chance(i, m, k, label));
    return element("tr", {}, ...(models.length > 1 ? [element("td", {}, model)] : []), element("th", { scope: "row", title: prompt }, prompt.length > 60 ? prompt.slice(0, 60) + "…" : prompt),
      ...[...chances, chances.reduce((a, b) => a + b)].map((value) => element("td", { class: "number" }, percent(value))));
  }));
  return element("div", { class: "box", tabindex: 0, role: "region", "aria-label": "Ratings" }, element("table", {}, element("caption", { class: "quiet" }, "Probability of each label"),
    element("thead", {}, head), element("tbody", {}, ...lines)));
}

function turnsOf(i, known) {
  if (known) {
    const left = known.left_out.length ? [element("p", { class: "quiet" }, `Left out, since it is not text: ${known.left_out.join(", ")}`)] : [];
    return [...known.turns.map(([role, text]) => element("div", { class: "turn " + (role === "assistant" ? role : "") },
      element("h3", {}, ROLES[role] ?? role), element("div", { dir: "auto" }, text))), ...left];
  }
  const beginnings = [["question", texts.question], ["answer", texts.answer]].map(([name, all]) =>
    element("div", { class: "turn" }, element("h3", {}, `the ${name} begins`), element("div", { dir: "auto" }, all[i])));
  return [...beginnings, element("p", {}, "This page has the whole conversations of some rows only. The whole of this one: "),
    element("pre", {}, `${about.show} ${column.row[i]}`)];
}
