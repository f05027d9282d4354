const by = id => document.getElementById(`teach-${id}`);
const CAPTURE_MS = 200;
const POLL_MS = 500;
const SHOWN = 48;
const TYPES = "image/jpeg,image/png,image/webp,image/bmp,image/tiff";
const percent = share => `${Math.round(100 * share)} %`;
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

let state = { version: -1, classes: [], none: "none", figures: {}, images: [], training: {} };
const cards = new Map(); // by class
const all = new Set(); // classes that show all of their images
const shownAs = label => (label === state.none ? "none of these" : label);

async function post(action, message = {}, report = true) {
  try {
    const reply = await fetch(`/panels/teach/${action}`, {
      method: "POST", body: JSON.stringify({ ...message, version: state.version }),
    });
    const data = await reply.json();
    if (!reply.ok) throw new Error(data.error);
    if (report) by("said").textContent = "";
    take(data);
    return data;
  } catch (error) {
    if (report) by("said").textContent = error instanceof TypeError ? "The camera cannot be reached." : error.message;
    return null;
  }
}

function take(data) {
  if (data.version < state.version && data.images === undefined) return;
  state = { ...state, ...data };
  draw();
}

// Holding a button or a key captures until it is let go.

const held = new Map(); // by class: what tells this press from the next one

async function hold(label) {
  if (held.has(label)) return;
  const press = {};
  held.set(label, press);
  pressed(label, true);
  let kept = 0;
  do {
    const began = performance.now();
    const data = await post("capture", { label });
    if (data === null) break;
    kept += data.captured ? 1 : 0;
    await new Promise(done => setTimeout(done, Math.max(0, CAPTURE_MS - (performance.now() - began))));
  } while (held.get(label) === press);
  if (held.get(label) === press) release(label);
  const count = state.figures[label]?.images ?? images(label).length;
  by("news").textContent = `${plural(kept, "image")} captured; ${shownAs(label)} has ${count}`;
}

function release(label) {
  held.delete(label);
  pressed(label, false);
}

function releaseAll() {
  for (const label of [...held.keys()]) release(label);
}

function pressed(label, is) {
  cards.get(label)?.hold.setAttribute("aria-pressed", is);
}

addEventListener("blur", releaseAll);
document.addEventListener("visibilitychange", releaseAll);
addEventListener("keydown", event => {
  const label = keyed(event);
  if (label === undefined || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  event.preventDefault();
  hold(label);
});
addEventListener("keyup", event => {
  const label = keyed(event);
  if (label !== undefined) release(label);
});
const keyed = event => (/^[1-9]$/.test(event.key) ? state.classes[Number(event.key) - 1] : undefined);

// A card per class.

function card(label) {
  const node = document.createElement("section");
  node.className = "teach-class";
  node.innerHTML = `<header><h3></h3><span class="teach-count"></span></header>
    <button type="button" class="button teach-hold" aria-pressed="false"><span></span> <kbd></kbd></button>
    <p class="teach-figures"></p>
    <div class="teach-row">
      <label class="button teach-files teach-phone"><span>Take a photo</span><input type="file" capture="environment"></label>
      <label class="button teach-files"><span>Add files</span><input type="file" multiple></label>
      <button type="button" class="button teach-remove">Remove class</button>
    </div>
    <ul class="teach-thumbs" tabindex="0"></ul>
    <button type="button" class="button teach-all" hidden></button>`;
  const find = selector => node.querySelector(selector);
  const name = shownAs(label);
  find("h3").textContent = name;
  find("h3").id = `teach-class-${cards.size}`;
  node.setAttribute("aria-labelledby", find("h3").id);
  const button = find(".teach-hold");
  button.firstElementChild.textContent = "Hold to capture";
  button.setAttribute("aria-label", `Hold to capture: ${name}`);
  find(".teach-remove").setAttribute("aria-label", `Remove the class ${name}`);
  find(".teach-thumbs").setAttribute("aria-label", `Images of ${name}`);
  for (const input of node.querySelectorAll("input")) {
    input.accept = TYPES;
    const what = input.hasAttribute("capture") ? "Take a photo for" : "Add files to";
    input.setAttribute("aria-label", `${what} ${name}`);
    input.addEventListener("change", () => { upload(label, [...input.files]); input.value = ""; });
  }
  find(".teach-phone").hidden = !matchMedia("(pointer: coarse)").matches;
  holdable(button, label);
  droppable(node, label);
  find(".teach-remove").addEventListener("click", () => post("remove", { label }));
  find(".teach-all").addEventListener("click", () => { all.add(label); draw(); });
  return {
    node, hold: button, count: find(".teach-count"), figures: find(".teach-figures"),
    thumbs: find(".teach-thumbs"), remove: find(".teach-remove"), more: find(".teach-all"),
    key: find("kbd"), images: new Map(),
  };
}

function holdable(button, label) {
  let handled = false; // a press of a pointer or a key; a screen reader only clicks
  button.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    handled = true;
    button.setPointerCapture(event.pointerId);
    hold(label);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
    button.addEventListener(name, () => release(label));
  }
  button.addEventListener("contextmenu", event => event.preventDefault());
  button.addEventListener("keydown", event => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    handled = true;
    if (!event.repeat) hold(label);
  });
  button.addEventListener("keyup", event => {
    if (event.key === " " || event.key === "Enter") release(label);
  });
  button.addEventListener("click", () => {
    if (!handled) post("capture", { label });
    handled = false;
  });
}

function droppable(node, label) {
  const over = is => node.classList.toggle("over", is);
  node.addEventListener("dragover", event => { event.preventDefault(); over(true); });
  node.addEventListener("dragleave", () => over(false));
  node.addEventListener("drop", event => {
    event.preventDefault();
    over(false);
    const key = event.dataTransfer.getData("text/x-edgecat");
    if (key) post("move", { images: [key], label });
    else upload(label, [...event.dataTransfer.files]);
  });
}

async function upload(label, files) {
  let kept = 0;
  by("said").textContent = "";
  for (const file of files) {
    try {
      const query = new URLSearchParams({ label, name: file.name });
      const reply = await fetch(`/panels/teach/upload/image?${query}`, { method: "POST", body: file });
      const data = await reply.json();
      if (!reply.ok) throw new Error(`${file.name}: ${data.error}`);
      take(data);
      kept += 1;
    } catch (error) {
      by("said").textContent = error instanceof TypeError ? "The camera cannot be reached." : error.message;
    }
  }
  by("news").textContent = `${plural(kept, "image")} added to ${shownAs(label)}`;
}

const images = label => state.images.filter(image => image[1] === label);

// Drawing keeps what is there, so that focus and scroll positions stay.

function draw() {
  for (const [label, { node }] of cards) {
    if (!state.classes.includes(label)) { node.remove(); cards.delete(label); }
  }
  state.classes.forEach((label, index) => {
    if (!cards.has(label)) cards.set(label, card(label));
    const own = cards.get(label);
    if (by("classes").children[index] !== own.node) by("classes").insertBefore(own.node, by("classes").children[index] ?? null);
    own.key.textContent = index < 9 ? index + 1 : "";
    own.key.hidden = index >= 9;
    drawCard(label, own);
  });
  by("hint").hidden = state.images.length > 0;
  by("none").hidden = state.classes.includes(state.none);
  drawModel();
}

function drawCard(label, own) {
  const found = images(label).reverse();
  const figures = state.figures[label];
  own.count.textContent = plural(found.length, "image");
  own.remove.hidden = found.length > 0;
  own.figures.textContent = figures ? describe(figures, found) : "";
  const wanted = all.has(label) ? found : found.slice(0, SHOWN);
  own.more.hidden = wanted.length === found.length;
  own.more.textContent = `Show all ${found.length}`;
  const keys = new Set(wanted.map(image => image[0]));
  for (const [key, node] of own.images) {
    if (!keys.has(key)) { node.remove(); own.images.delete(key); }
  }
  wanted.forEach((image, index) => {
    const [key, , , marks] = image;
    if (!own.images.has(key)) own.images.set(key, thumb(image));
    const node = own.images.get(key);
    if (own.thumbs.children[index] !== node) own.thumbs.insertBefore(node, own.thumbs.children[index] ?? null);
    node.firstChild.className = marks;
  });
  own.thumbs.hidden = !wanted.length;
}

function describe(figures, found) {
  const alike = found.filter(image => image[3].includes("alike")).length;
  const parts = [`told right ${percent(figures.right)}, confidence ${percent(figures.confidence)}`];
  if (figures.bursts === 1) parts.push("mostly one burst: show it again for an honest figure");
  if (alike > found.length / 2) parts.push(`${alike} nearly the same: move it`);
  return parts.join("; ");
}

function thumb(image) {
  const item = document.createElement("li");
  const button = item.appendChild(document.createElement("button"));
  button.type = "button";
  button.draggable = true;
  const picture = button.appendChild(new Image());
  picture.loading = "lazy";
  picture.src = source(image[0]);
  picture.alt = `${shownAs(image[1])}, ${new Date(1000 * image[2]).toLocaleTimeString()}`;
  button.addEventListener("click", () => view(image[0]));
  button.addEventListener("dragstart", event => event.dataTransfer.setData("text/x-edgecat", image[0]));
  button.addEventListener("keydown", event => {
    if (event.key === "Delete") post("delete", { images: [image[0]] });
  });
  return item;
}

const source = key => `/panels/teach/file?key=${encodeURIComponent(key)}`;

let viewed = "";

function view(key) {
  const image = state.images.find(each => each[0] === key);
  if (!image) return;
  viewed = key;
  by("big").src = source(key);
  by("big").alt = `Image of ${shownAs(image[1])}`;
  by("view-title").textContent = shownAs(image[1]);
  const notes = [new Date(1000 * image[2]).toLocaleString()];
  if (image[3].includes("held")) notes.push("held out to judge the trained model");
  if (image[3].includes("alike")) notes.push("nearly the same as an earlier one");
  by("about").textContent = notes.join("; ");
  const others = state.classes.filter(label => label !== image[1]);
  by("move").replaceChildren(new Option("…", ""), ...others.map(label => new Option(shownAs(label), label)));
  by("view").showModal();
}

by("close").addEventListener("click", () => by("view").close());
by("delete").addEventListener("click", () => { by("view").close(); post("delete", { images: [viewed] }); });
by("move").addEventListener("change", event => {
  by("view").close();
  post("move", { images: [viewed], label: event.target.value });
});
by("add").addEventListener("submit", async event => {
  event.preventDefault();
  const label = by("name").value.trim();
  if (label && (await post("add", { label }))) by("name").value = "";
});
by("none").addEventListener("click", () => post("none"));

// The model.

const SENTENCES = {
  no: run => run.why ?? "",
  idle: () => "Train fine-tunes the whole network on these images, in the background.",
  running: run => (run.epoch
    ? `Training: epoch ${run.epoch} of ${run.epochs}${accuracy(run)}`
    : "Training is starting"),
  stopping: () => "Stopping",
  paused: run => `Training was stopped${run.epoch ? ` in epoch ${run.epoch}` : ""}; it can be resumed. ${run.why ?? ""}`,
  done: run => `Trained${accuracy(run)}. Use it lets this model answer; it is exported first.`,
  exporting: () => "Exporting and checking the model",
  used: run => `The trained model is in use: ${run.model}${accuracy(run)}.`,
  failed: run => run.why,
};
const accuracy = run => {
  if (run.accuracy === undefined) return "";
  const images = run.n === undefined ? "the held-out images" : `${run.n} held-out images`;
  return `, ${percent(run.accuracy)} of ${images} right`;
};

function drawModel() {
  const run = state.training;
  const busy = ["running", "stopping", "exporting"].includes(run.state);
  const shown = state.classes.filter(label => images(label).length);
  by("answers").textContent = state.used
    ? `Answers now: ${state.used}`
    : shown.length ? `Answers now: what you showed, learned in ${state.seconds.toFixed(2)} s after the last change` : "Nothing was shown yet.";
  by("training").textContent = SENTENCES[run.state]?.(run) ?? "";
  by("progress").hidden = !busy;
  if (run.state === "running" && run.share > 0) by("progress").value = run.share;
  else by("progress").removeAttribute("value");
  by("train").hidden = busy || run.state === "no";
  by("train").disabled = shown.length < 2;
  by("train").textContent = ["done", "used", "paused"].includes(run.state) ? "Train again" : "Train";
  by("stop").hidden = run.state !== "running";
  by("resume").hidden = run.state !== "paused";
  by("use").hidden = !(run.state === "done" || (run.state === "failed" && run.checkpoint));
  by("undo").hidden = !state.used || busy;
}

for (const action of ["train", "stop", "resume", "use", "undo"]) {
  by(action).addEventListener("click", () => post(action));
}

// The class that the camera shows now, and what other viewers changed.

function answer() {
  const label = document.getElementById("answer").hidden ? "" : document.getElementById("label").textContent;
  for (const [name, { node }] of cards) node.classList.toggle("now", name === label);
}

async function poll() {
  if (!document.hidden && held.size === 0) await post("state", {}, false);
  answer();
  setTimeout(poll, POLL_MS);
}

poll();
