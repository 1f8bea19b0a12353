// A table of any length: only the rows in sight are in the page.

const ROW = 28; // pixels, as the style has it

// What a cell is sorted by: "98.6 %", "1,234" and "1.2 s" are numbers, all else is text.
function sortKey(text) {
  const found = /^-?[\d,]*\.?\d+(e[-+]?\d+)?/.exec(text);
  if (!found) return { text };
  const unit = text.slice(found[0].length).trim();
  const times = { ms: 1e-3, min: 60, h: 3600 }[unit.split(" ")[0]] || 1;
  return { number: times * Number(found[0].replaceAll(",", "")), text };
}

// Up or down; numbers before text, so that what is unknown comes last both ways.
function compare(a, b, up) {
  if ((a.number === undefined) !== (b.number === undefined)) return a.number === undefined ? 1 : -1;
  const [one, other] = a.number === undefined ? [a.text, b.text] : [a.number, b.number];
  return (one < other ? -1 : one > other ? 1 : 0) * (up ? 1 : -1);
}

function cell(tag, text, right) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (right) made.className = "right";
  return made;
}

function showRows(place, columns, length) {
  const all = Array.from({ length }, (_, n) => n);
  const name = `rows ${place.dataset.rows}`;
  const before = kept.get(name, { words: "", by: null, up: true });
  const state = { shown: all, sorted: columns.findIndex((c) => c.name === before.by), up: before.up };
  const input = document.createElement("input");
  input.type = "search";
  input.value = before.words;
  input.placeholder = `Search ${length.toLocaleString("en")} rows`;
  const count = document.createElement("span");
  const picker = document.createElement("div");
  picker.className = "picker";
  picker.append(input, count);
  const scroller = document.createElement("div");
  scroller.className = "scroller";
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  const body = table.createTBody();
  scroller.append(table);
  place.append(picker, scroller);

  function space(rows) {
    const row = document.createElement("tr");
    row.className = "space";
    const made = row.insertCell();
    made.colSpan = columns.length;
    made.style.height = `${rows * ROW}px`;
    return row;
  }

  function draw() {
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - 10);
    const last = Math.min(state.shown.length, first + 50);
    const rows = state.shown.slice(first, last).map((n) => {
      const row = document.createElement("tr");
      row.append(...columns.map((column) => cell("td", column.cells[n], column.right)));
      return row;
    });
    body.replaceChildren(space(first), ...rows, space(state.shown.length - last));
  }

  function choose() {
    kept.set(name, { words: input.value, by: columns[state.sorted]?.name ?? null, up: state.up });
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (n) => {
      const text = columns.map((column) => column.cells[n]).join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    };
    state.shown = words.length ? all.filter(fits) : all.slice();
    if (state.sorted >= 0) {
      const keys = columns[state.sorted].cells.map(sortKey);
      state.shown.sort((a, b) => compare(keys[a], keys[b], state.up) || a - b);
    }
    count.textContent = words.length ? `${state.shown.length.toLocaleString("en")} found` : "";
    scroller.scrollTop = 0;
    draw();
  }

  function mark() {
    for (const other of head.cells) other.removeAttribute("aria-sort");
    head.cells[state.sorted]?.setAttribute("aria-sort", state.up ? "ascending" : "descending");
  }

  columns.forEach((column, n) => {
    const made = cell("th", column.name, column.right);
    made.onclick = () => {
      state.up = state.sorted === n ? !state.up : true;
      state.sorted = n;
      mark();
      choose();
    };
    head.append(made);
  });
  mark();
  input.oninput = choose;
  scroller.onscroll = draw;
  choose();
}
