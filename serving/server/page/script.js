"use strict";
// The page: chooses a model and a signature, sends the form, and shows the answer.

const $ = (id) => document.getElementById(id);
const state = { models: [], model: null, signature: null, fields: [], running: null, curl: "" };
const LONGEST_ARGUMENT = 100_000; // in bytes: Linux takes 128 KiB
const LONGEST_SHOWN = 10_000;

function choose(name, signatureName) {
  finish(); // or the answer of another signature would appear under this one
  state.model = state.models.find((model) => model.name === name) ?? state.models[0];
  $("model").value = state.model.name;
  const signatures = state.model.signatures;
  const wanted = (signature) => signature.name === signatureName;
  state.signature = signatures.find(wanted) ?? signatures.find((signature) => signature.stream) ?? signatures[0];
  showVersion();
  showAbout();
  $("signatures").replaceChildren(...signatures.map((signature) => {
    const button = element("button", { type: "button", ariaPressed: String(signature === state.signature) }, signature.title);
    button.addEventListener("click", () => go(state.model.name, signature.name));
    return button;
  }));
  $("signature-name").textContent = state.signature?.title ?? "";
  $("doc").replaceChildren(...withCode(state.signature?.doc ?? ""));
  $("form").hidden = $("request").hidden = !state.signature;
  showForm();
  showNothing("Press Run to ask the model.");
}

// What is between backticks looks like code.
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

// The choice is in the page's address, so that it can be kept as a bookmark and the back button works.
function go(name, signature = "") {
  const hash = `#${encodeURIComponent(name)}/${encodeURIComponent(signature)}`;
  if (location.hash === hash) choose(name, signature);
  else location.hash = hash;
}

function follow() {
  const [name, signature] = location.hash.slice(1).split("/").map(decodeURIComponent);
  choose(name, signature);
}

function showVersion() {
  const { name, version, others } = state.model;
  document.title = `${name} - Ikelos`;
  $("name").textContent = state.models.length === 1 ? name : "";
  const labels = version?.labels.length ? ` (${version.labels.join(", ")})` : "";
  const warming = version && !version.is_warm ? ", warming up" : "";
  $("version").textContent = version ? `Version ${version.number}${labels}${warming}` : "No version serves";
  const failed = others.filter((other) => other.message);
  $("fault").hidden = !failed.length;
  $("fault").textContent = failed.map((other) => `Version ${other.number} cannot be loaded: ${other.message}`).join("\n");
}

function showForm() {
  state.fields = (state.signature?.inputs ?? []).map(makeField);
  const wide = state.fields.filter((field) => field.wide).map((field) => field.node);
  const small = state.fields.filter((field) => !field.wide).map((field) => field.node);
  $("fields").replaceChildren(...wide, element("div", { className: "small" }, ...small));
  const example = state.signature?.example ?? {};
  const rows = Math.max(0, ...Object.values(example).map((value) => value.length));
  $("examples").hidden = rows < 2;
  $("examples").replaceChildren("Fill in", ...Array.from({ length: rows }, (_, row) => {
    const button = element("button", { type: "button", className: "plain" }, `example ${row + 1}`);
    button.addEventListener("click", () => fill(row));
    return button;
  }));
  if (rows) fill(0);
  showCurl();
}

function fill(row) {
  for (const { input, set } of state.fields) {
    const value = state.signature.example[input.name];
    if (value !== undefined) set(value[row]);
  }
  showCurl();
}

// The JSON of the form, with a batch of one row. `get` gives the JSON of a field's row.
function body(get) {
  const isBatch = ({ input }) => input.shape === null || input.shape.length > 0;
  const inputs = state.fields.map((field) => {
    const row = get(field);
    return `${JSON.stringify(field.input.name)}: ${isBatch(field) ? `[${row}]` : row}`;
  });
  return `{"signature_name": ${JSON.stringify(state.signature.name)}, "inputs": {${inputs.join(", ")}}}`;
}

function address() {
  return new URL(`v1/models/${encodeURIComponent(state.model.name)}:predict`, document.baseURI).href;
}

function showCurl() {
  if (!state.signature) return;
  $("request").hidden = Boolean(state.signature.stream);
  let file = false;
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  // The shell replaces what begins with $, ` or \ between the two EOF.
  const escape = (text) => text.replace(/[\\$`]/g, "\\$&");
  try {
    const json = body((field) => field.get());
    const withFiles = body((field) => {
      const name = field.file?.();
      if (!name) return escape(field.get());
      file = true;
      return `{"b64": "$(base64 -w0 ${quote(name)})"}`;
    });
    const quoted = quote(json);
    const isLong = new TextEncoder().encode(quoted).length > LONGEST_ARGUMENT;
    const hereDocument = (end, content) => `-d @- ${address()} <<${end}\n${content}\nEOF`;
    const data = file ? hereDocument("EOF", withFiles) : isLong ? hereDocument("'EOF'", json) : `-d ${quoted} ${address()}`;
    state.curl = `curl ${data}`;
  } catch (error) {
    state.curl = error.message;
  }
  const { length } = state.curl;
  const end = ` … (${length.toLocaleString("en")} characters, all of which the button copies)`;
  $("curl").textContent = length > LONGEST_SHOWN ? state.curl.slice(0, LONGEST_SHOWN) + end : state.curl;
}

function showNothing(text) {
  $("status").textContent = text;
  $("answer").replaceChildren();
  $("error").hidden = true;
}

function showError(message) {
  $("status").textContent = "";
  $("error").textContent = message;
  $("error").hidden = false;
}

// Ends the run that is under way, if there is one.
function finish() {
  state.running?.abort();
  state.running = null;
  $("run").disabled = false;
  $("stop").hidden = true;
  document.querySelector(".caret")?.classList.remove("caret");
}

async function run() {
  if (state.running || !state.signature) return;
  let json;
  for (const { node } of state.fields) node.querySelector(".wrong")?.classList.remove("wrong");
  try {
    json = body((field) => {
      try {
        return field.get();
      } catch (error) {
        field.node.querySelector("input, textarea")?.classList.add("wrong");
        throw error;
      }
    });
  } catch (error) {
    showNothing("");
    showError(error.message);
    return;
  }
  const abort = new AbortController();
  state.running = abort;
  $("run").disabled = true;
  $("stop").hidden = false;
  // TensorFlow optimises the graph of a signature in its first run.
  const isWarm = state.model.version.is_warm;
  showNothing(isWarm ? "The model is running …" : "The model is running. It is still warming up, so the first answers take longer …");
  const began = performance.now();
  try {
    const answer = state.signature.stream ? stream : predict;
    const end = await answer(json, abort.signal);
    abort.signal.throwIfAborted();
    $("status").textContent = `${end}${((performance.now() - began) / 1000).toFixed(2)} s`;
  } catch (error) {
    if (state.running !== abort) return; // the form is another one by now
    if (abort.signal.aborted) $("status").textContent = "Stopped.";
    else showError(error.message);
  }
  finish();
}

// What fetch and its bodies promise, with a message for people if the connection breaks.
function fromServer(promise) {
  return promise.catch((error) => {
    throw error instanceof TypeError ? new Error("The server does not answer. Is it still running?") : error;
  });
}

async function predict(json, signal) {
  const response = await fromServer(fetch(address(), { method: "POST", body: json, signal }));
  const { outputs, error } = parseJson(await fromServer(response.text()));
  signal.throwIfAborted();
  if (!response.ok) throw new Error(error);
  const names = state.signature.outputs.map((output) => output.name);
  const named = names.length === 1 ? { [names[0]]: outputs } : outputs;
  const rows = names.map((name) => [name, Array.isArray(named[name]) ? named[name][0] : named[name]]);
  $("answer").replaceChildren(...showAnswer(Object.fromEntries(rows)));
  return "";
}

async function stream(json, signal) {
  const prompt = state.fields.find((field) => field.input.name === "prompt");
  const text = element("span");
  const shown = element("p", { className: "text caret" }, element("span", { className: "prompt" }, plain(JSON.parse(prompt.get()))), text);
  $("answer").replaceChildren(element("div", { className: "output" }, shown));
  const url = `page/stream/${encodeURIComponent(state.model.name)}`;
  const response = await fromServer(fetch(url, { method: "POST", body: json, signal }));
  if (!response.ok) throw new Error(parseJson(await fromServer(response.text())).error);
  let rest = "";
  for await (const piece of pieces(response)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const event = JSON.parse(line);
      if (event.error) throw new Error(event.error);
      text.append(event.text);
    }
  }
  return `${text.textContent.length} characters, `;
}

// Not `for await` of the body itself, which Safari does not have.
async function* pieces(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const read = () => fromServer(reader.read());
  for (let { done, value } = await read(); !done; { done, value } = await read()) yield value;
}

function showAbout() {
  const { name, version, provenance, card } = state.model;
  const facts = version ? { folder: version.path, "load and warm-up": `${version.seconds.toFixed(1)} s` } : {};
  const link = element("a", { href: `page/card/${encodeURIComponent(name)}`, target: "_blank" }, "Model card");
  $("about-content").replaceChildren(...(card ? [element("p", {}, link)] : []), list({ ...facts, ...provenance }));
}

function list(facts) {
  const made = element("dl");
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === "") continue;
    const nested = typeof value === "object" && !Array.isArray(value);
    const text = nested ? list(value) : Array.isArray(value) ? value.map(plain).join("\n") : String(value);
    made.append(element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, text));
  }
  return made;
}

async function fetchModels() {
  const response = await fetch("page/models");
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  return (await response.json()).models;
}

function show(models) {
  state.models = models;
  $("model").replaceChildren(...state.models.map(({ name }) => element("option", { value: name }, name)));
  $("model-choice").hidden = state.models.length < 2;
  if (state.models.length) follow();
  else showError("There is no model.");
}

// Shows a version that was loaded meanwhile. What is in the form stays, unless the model has other signatures.
async function refresh() {
  const models = await fetchModels().catch(() => state.models);
  if (state.running) return; // it began meanwhile
  const same = JSON.stringify(models.map(({ name, signatures }) => [name, signatures])) ===
    JSON.stringify(state.models.map(({ name, signatures }) => [name, signatures]));
  if (!same) {
    show(models);
    return;
  }
  state.models = models;
  state.model = models.find(({ name }) => name === state.model.name);
  showVersion();
  showAbout();
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
$("form").addEventListener("input", showCurl);
$("form").addEventListener("ready", showCurl);
$("stop").addEventListener("click", () => state.running?.abort());
$("model").addEventListener("change", () => go($("model").value));
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(state.curl);
  $("copy").textContent = "Copied";
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
window.addEventListener("hashchange", follow);
setInterval(() => { if (!document.hidden && !state.running && state.model) refresh(); }, 5000);
fetchModels().then(show).catch((error) => showError(`The page cannot be set up: ${error.message}`));
