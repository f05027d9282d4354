import { Chart, remember } from "/chart.js";
import { headline, percent } from "/headline.js";

const by = id => document.getElementById(id);
const fill = (bar, share) => { bar.style.width = `${100 * share}%`; };
const STATES = {
  live: "live", "no signal": "no signal", waiting: "waiting", stopped: "stopped", lost: "offline",
};
const NOTICES = {
  "no signal": "No signal, reconnecting", waiting: "Waiting for the first frame",
  stopped: "The camera was stopped", lost: "Connection lost, reconnecting",
};

let labels = []; // in the order of the logits
const hue = label => {
  let index = labels.indexOf(label);
  if (index < 0 && label !== "unsure") index = labels.push(label) - 1;
  return label === "unsure" ? "--c7" : `--c${index % 7}`;
};
const paint = (element, label) => element.style.setProperty("--hue", `var(${hue(label)})`);
const chart = new Chart(by("chart"), hue);

// Live data through server-sent events; the browser reconnects by itself.

let events = null;
let ended = false;

function connect() {
  disconnect();
  watch();
  events = new EventSource("/events");
  events.addEventListener("hello", event => hello(JSON.parse(event.data)));
  events.addEventListener("news", event => news(JSON.parse(event.data)));
  events.addEventListener("end", () => { ended = true; show("stopped"); });
  events.addEventListener("error", () => {
    if (!ended) show("lost");
    if (events?.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

function disconnect() {
  events?.close();
  events = null;
  by("picture").removeAttribute("src");
  stopTiles();
}

// The query differs each time, or the browser would reuse a stream that has ended.
function watch() {
  by("snapshot").href = `/snapshot.jpg?camera=${shown}`;
  stopTiles();
  if (together) {
    by("picture").removeAttribute("src");
    startTiles();
  } else {
    by("picture").src = stream(shown, by("screen"));
  }
}

// A server ends the stream of a browser that has read nothing for some seconds.
let retry = 0;

function watchAgain() {
  clearTimeout(retry);
  retry = setTimeout(() => { if (events && !document.hidden) watch(); }, 3000);
}

by("picture").addEventListener("error", watchAgain);

const wanted = box => Math.min(1280, Math.round(box.clientWidth * (devicePixelRatio || 1)));
const stream = (number, box) =>
  `/stream?camera=${number}&width=${wanted(box)}&fps=10&at=${Date.now()}`;

// A hidden page closes its streams, so that nothing is encoded for it.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
addEventListener("pagehide", disconnect);

function hello(data) {
  const again = ended || by("state").dataset.state === "lost";
  ended = false;
  labels = [...data.labels];
  histories = data.history;
  by("stop").hidden = !data.control;
  offer(by("sources"), data.sources.map(name => [name, name]));
  const cameras = data.cameras.map(camera => [camera.camera, camera.source]);
  offer(by("cameras"), cameras.length > 1 ? [[ALL, "all sources"], ...cameras] : []);
  const first = by("grid").children.length !== cameras.length;
  if (first) {
    together = cameras.length > 1;
    layOut(cameras);
  }
  by("cameras").querySelector("select").value = together ? ALL : shown;
  view(Math.min(shown, cameras.length - 1));
  if (again || (first && together)) watch();
  news(data);
}

const ALL = "all";
const STREAMS = 4; // a browser opens six connections to a server; the other tiles poll
let shown = 0; // number of the camera whose figures are on display
let together = false; // whether the images of all cameras are, too
let histories = [];

function view(number) {
  shown = number;
  chart.points = histories[number];
  by("grid").hidden = !together;
  by("screen").hidden = together;
  [...by("grid").children].forEach((tile, index) =>
    tile.setAttribute("aria-pressed", index === number));
}

// Several sources side by side: the figures are those of the tile that was pressed last.

let polling = 0;

function layOut(cameras) {
  by("grid").replaceChildren(...(cameras.length > 1 ? cameras.map(tile) : []));
}

function tile([number, source]) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tile";
  button.innerHTML = '<img alt="" decoding="async"><span class="name"></span>' +
    '<span class="line"><strong></strong><span class="number"></span></span>' +
    '<span class="doubt"></span><span class="meter"><i></i></span>';
  button.querySelector(".name").textContent = source;
  button.addEventListener("click", () => { view(number); });
  button.querySelector("img").addEventListener("error", watchAgain);
  return button;
}

function startTiles() {
  const images = [...by("grid").querySelectorAll("img")];
  images.slice(0, STREAMS).forEach((image, number) => { image.src = stream(number, image); });
  const poll = () => images.slice(STREAMS).forEach((image, index) => {
    image.src = `/snapshot.jpg?camera=${STREAMS + index}&at=${Date.now()}`;
  });
  poll();
  if (images.length > STREAMS) polling = setInterval(poll, 1000);
}

function stopTiles() {
  clearInterval(polling);
  by("grid").querySelectorAll("img").forEach(image => image.removeAttribute("src"));
}

function tiles(cameras) {
  [...by("grid").children].forEach((button, number) => {
    const camera = cameras[number];
    const [name, line, doubt, meter] = [...button.children].slice(1);
    const live = camera.state === "live" && camera.label !== undefined;
    name.textContent = camera.source;
    button.classList.toggle("stale", camera.state !== "live");
    const { text, share, note } = live ? headline(camera)
      : { text: STATES[camera.state], share: 0, note: "" };
    line.firstChild.textContent = text;
    line.lastChild.textContent = share ? percent(share) : "";
    doubt.textContent = note;
    fill(meter.firstChild, share);
    if (live) paint(meter.firstChild, camera.label);
  });
}

function offer(choice, options) {
  choice.hidden = options.length < 2;
  const texts = options.map(([value, text]) => new Option(text, value));
  choice.querySelector("select").replaceChildren(...texts);
}

function news(data) {
  data.cameras.forEach(({ state, label, confidence }, number) => {
    if (state === "live") remember(histories[number], data.now, label, confidence);
  });
  const camera = data.cameras[shown];
  if (together) tiles(data.cameras);
  show(camera.state);
  by("source").textContent = camera.source;
  const chosen = by("sources").querySelector("select");
  const known = [...chosen.options].some(option => option.value === camera.source);
  if (known && document.activeElement !== chosen) chosen.value = camera.source;
  if (camera.label !== undefined) answer(camera, data.now);
  stages(data.stages_ms, data.frame_age_ms);
  facts(data, camera);
}

function show(state) {
  const pill = by("state");
  if (pill.dataset.state !== state) {
    pill.dataset.state = state;
    pill.textContent = STATES[state];
  }
  document.title = `${state === "live" ? by("label").textContent : STATES[state]} · edgecat`;
  by("notice").hidden = state === "live";
  by("notice").textContent = NOTICES[state] ?? "";
  by("screen").classList.toggle("stale", state !== "live");
  by("screen").classList.toggle("empty", state === "waiting");
  by("answer").hidden = state !== "live";
  by("stop").disabled = state === "stopped" || state === "lost";
}

function answer(data, now) {
  const { text, share, note } = headline(data);
  if (by("label").textContent !== text) by("label").textContent = text;
  by("confidence").textContent = share ? percent(share) : "";
  by("doubt").textContent = note;
  by("doubt").hidden = !note;
  fill(by("meter"), share);
  paint(by("meter"), data.label === "unsure" ? data.label : data.probabilities[0][0]);
  const [width, height] = data.size.split("x");
  by("screen").style.setProperty("--shape", `${Math.max(width, height)} / ${height}`);
  classes(data);
  chart.draw(now);
  legend();
}

// The rows stay where they are, so that their bars can glide.
function classes({ probabilities }) {
  const shown = [...probabilities].sort((a, b) => labels.indexOf(a[0]) - labels.indexOf(b[0]));
  const rows = rowsOf(by("classes"), shown.length, row => {
    row.className = "row";
    row.innerHTML = '<span></span><span class="number"></span><div class="track"><i></i></div>';
  });
  shown.forEach(([label, share], index) => {
    const [name, value, track] = rows[index].children;
    name.textContent = label;
    value.textContent = percent(share);
    fill(track.firstChild, share);
    paint(track.firstChild, label);
    rows[index].classList.toggle("first", label === probabilities[0][0]);
  });
}

function rowsOf(parent, count, make, tag = "div") {
  while (parent.children.length > count) parent.lastChild.remove();
  while (parent.children.length < count) make(parent.appendChild(document.createElement(tag)));
  return parent.children;
}

function legend() {
  const seen = labels.concat("unsure").filter(label => chart.points.some(point => point[1] === label));
  const parts = rowsOf(by("legend"), seen.length, () => {}, "span");
  seen.forEach((label, index) => {
    parts[index].textContent = label;
    paint(parts[index], label);
  });
  const last = chart.points.at(-1);
  if (last) by("chart").setAttribute("aria-label",
    `Confidence over the last five minutes; now ${last[1]} ${percent(last[2])}`);
}

const STAGE_HUES = ["--c7", "--c5", "--c2", "--c0", "--c3", "--c1", "--c4"];

function stages(medians, age) {
  const rows = Object.entries(medians).map(([name, ms], index) =>
    [name, milliseconds(ms), STAGE_HUES[index % STAGE_HUES.length]]);
  const parts = rowsOf(by("strip"), rows.length, () => {}, "i");
  rows.forEach(([name, , tone], index) => {
    parts[index].style.setProperty("--hue", `var(${tone})`);
    parts[index].style.flexGrow = medians[name];
    parts[index].hidden = name === "capture"; // before the frame has an age
  });
  list(by("stages"), rows);
  by("total").textContent = age.p50 ? `frame age ${milliseconds(age.p50)}` : "";
}

const milliseconds = ms => `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;

function facts({ engine, viewers, frame_age_ms }, data) {
  const count = number => number.toLocaleString("en");
  const rows = [
    ["Frames", count(data.frames)],
    ["Rate", data.fps !== undefined && `${data.fps.toFixed(1)} / s`],
    ["Frames dropped", count(data.dropped)],
    ["Frames unreadable", count(data.skipped)],
    ["Signal lost", data.losses && `${count(data.losses)} times`],
    ["Label changes", count(data.changes)],
    ["Frame age, p95", milliseconds(frame_age_ms.p95)],
    ["Image", data.size && data.size.replace("x", " × ")],
    ["Network", `${engine.architecture} ${engine.precision}, ${engine.input.replace("x", " × ")}`],
    ["Engine", `${engine.backend} on ${engine.device}`],
    ["Viewers", count(viewers)],
  ];
  list(by("facts"), rows.filter(([, value]) => value && value !== "0"));
}

function list(element, rows) {
  const cells = rowsOf(element, rows.length, () => {});
  rows.forEach(([name, value, tone], index) => {
    const [term, detail] = [rowsOf(cells[index], 2, () => {}, "span")].flatMap(parts => [...parts]);
    if (term.textContent !== name) term.textContent = name;
    if (detail.textContent !== value) detail.textContent = value;
    if (tone) term.style.setProperty("--hue", `var(${tone})`);
  });
}

// Buttons.

async function post(path, message) {
  by("said").textContent = "";
  try {
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(message) });
    if (!answer.ok) by("said").textContent = (await answer.json()).error;
    return answer.ok;
  } catch {
    by("said").textContent = "The camera cannot be reached.";
    return false;
  }
}

by("full").hidden = !document.fullscreenEnabled;
by("full").addEventListener("click", () => by(together ? "grid" : "screen").requestFullscreen());
by("stop").addEventListener("click", () => by("sure").showModal());
by("keep").addEventListener("click", () => by("sure").close());
by("really").addEventListener("click", async () => {
  by("sure").close();
  if (await post("/api/stop", {})) {
    ended = true;
    show("stopped");
  }
});
by("cameras").addEventListener("change", event => {
  together = event.target.value === ALL;
  view(together ? shown : Number(event.target.value));
  watch();
});
by("sources").addEventListener("change", async event => {
  event.target.disabled = true;
  await post(`/api/source?camera=${shown}`, { source: event.target.value });
  event.target.disabled = false;
});

// Only once the page has loaded: an endless image would keep it loading forever.
if (document.readyState === "complete") connect();
else addEventListener("load", connect);
