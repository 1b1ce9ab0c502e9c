"use strict";
// The form of a signature: a field for each input, made from its name, dtype and shape.

// What people know as a slider: [least, most, step], by the end of the input's name. The input's bounds may be narrower.
const RANGES = { temperature: [0, 2, 0.05], top_p: [0, 1, 0.01], probability: [0, 1, 0.01], threshold: [0, 1, 0.01] };
const MOST_STEPS = 2000; // of a slider of integers: more could not be chosen one by one

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children); // text, never markup: a model's words are not trusted
  return made;
}

function kindOf(input) {
  if (input.shape === null || input.shape.length === 0) return "data";
  const holdsBytes = input.dtype === "string" && input.name.endsWith("_bytes");
  if (input.shape.length === 2 && input.shape[1] === null && input.dtype === "string" && !holdsBytes) return "list";
  if (pictureFormatOf(input)) return "picture";
  if (input.shape.length > 1) return "data";
  if (input.dtype === "string") return holdsBytes ? "file" : "text";
  if (input.dtype === "bool") return "check";
  return rangeOf(input) ? "slider" : "number";
}

const isFloat = ({ dtype }) => dtype.includes("float");

// [least, most, step] of the slider of a number, or null if a slider does not suit it.
function rangeOf(input) {
  const [low, high] = input.values;
  const end = Object.keys(RANGES).find((text) => input.name.endsWith(text));
  if (end && isFloat(input)) {
    const [min, max, step] = RANGES[end];
    return [Math.ceil(Math.max(low ?? min, min) / step) * step, Math.min(high ?? max, max), step];
  }
  if (low === null || high === null || high - low > MOST_STEPS || low === high) return null;
  return [low, high, isFloat(input) ? (high - low) / 100 : 1];
}

function kindText(input) {
  const sizes = kindOf(input) === "list" ? "" : (input.shape ?? []).slice(1).map((size) => size ?? "any").join(" × ");
  const shape = input.shape === null ? "any shape" : sizes;
  return [input.dtype, shape, input.limits].filter(Boolean).join(", ");
}

// Throws an Error if a number is out of the input's bounds, which the model would refuse.
function checkNumber(input, number) {
  const [low, high] = input.values;
  if ((low !== null && number < low) || (high !== null && number > high)) {
    throw new Error(`${input.name} must be ${input.limits}.`);
  }
}

// The same for the bytes of a text.
function checkText(input, text) {
  const length = new TextEncoder().encode(text).length;
  if (input.max_bytes !== null && length > input.max_bytes) {
    throw new Error(`${input.name} must have at most ${input.max_bytes} bytes, but has ${length}.`);
  }
}

// Tells the page that a field has another value, where no `input` event does.
function announce(node) {
  node.dispatchEvent(new Event("ready", { bubbles: true }));
}

// The object {b64} in each text area that was filled with one, until somebody edits it: such bytes may be no text.
const bytesIn = new WeakMap();

function textArea(properties, value) {
  const area = element("textarea", { spellcheck: false, ...properties });
  area.addEventListener("input", () => bytesIn.delete(area));
  setText(area, value);
  return area;
}

function setText(area, value) {
  area.value = plain(value);
  if (typeof value === "string") bytesIn.delete(area);
  else bytesIn.set(area, value);
}

function textIn(area, input) {
  if (bytesIn.has(area)) return bytesIn.get(area);
  checkText(input, area.value);
  return area.value;
}

// Calls `show` with what `read` makes of a chosen file, or `fail` with the error. A file is ignored if another one was
// chosen before it had been read. Returns {check, clear}: `check` throws an Error while the file is being read, since
// the form still has the value from before, and if the file is wrong; `clear` chooses no file.
function readChosen(chooser, input, { read, show, fail }) {
  let wrong = null;
  chooser.addEventListener("change", async () => {
    const file = chooser.files[0];
    if (!file) {
      if (wrong) fail(null);
      wrong = null;
      return announce(chooser);
    }
    wrong = new Error(`${input.name}: ${file.name} is being read.`);
    announce(chooser);
    const [value, error] = await read(file).then((value) => [value, null], (error) => [null, error]);
    if (chooser.files[0] !== file) return;
    wrong = error;
    if (error) fail(error);
    else show(value, file.name);
    announce(chooser);
  });
  const check = () => { if (wrong) throw wrong; };
  return { check, clear: () => { wrong = null; chooser.value = ""; } };
}

const errorNodes = (error) => (error ? [element("p", { className: "error" }, error.message)] : []);

// Each maker returns {nodes, get, set}: `get` gives the JSON of one row, and throws an Error for what is none.
const MAKERS = {
  text(input, id) {
    const area = textArea({ id, rows: 3 }, "");
    const get = () => JSON.stringify(textIn(area, input));
    return { nodes: [area], get, set: (value) => setText(area, value) };
  },

  // Any number of texts, which may have line breaks.
  list(input) {
    const items = element("div", { className: "items", role: "group", ariaLabel: input.name });
    const add = element("button", { type: "button", className: "plain", ariaLabel: `Add to ${input.name}` }, "Add");
    const areas = () => [...items.querySelectorAll("textarea")];
    const update = () => {
      areas().forEach((area, index) => { area.ariaLabel = `${input.name} ${index + 1}`; });
      add.disabled = input.max_size !== null && areas().length >= input.max_size;
    };
    const append = (value) => {
      const area = textArea({ rows: 1 }, value);
      const remove = element("button", { type: "button", className: "plain", ariaLabel: "Remove" }, "×");
      const item = element("div", { className: "item" }, area, remove);
      remove.addEventListener("click", () => { item.remove(); update(); announce(add); });
      items.append(item);
      update();
      return area;
    };
    add.addEventListener("click", () => { append("").focus(); announce(add); });
    const get = () => JSON.stringify(areas().map((area) => textIn(area, input)));
    const set = (value) => { items.replaceChildren(); value.forEach((item) => append(item)); };
    return { nodes: [items, element("p", {}, add)], get, set };
  },

  number(input, id) {
    const whole = !isFloat(input);
    const value = String(Math.max(0, input.values[0] ?? 0));
    const box = element("input", { id, type: "text", inputMode: whole ? "numeric" : "decimal", value });
    const get = () => {
      const text = box.value.trim();
      const wanted = whole ? /^-?\d+$/ : /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
      if (!wanted.test(text)) throw new Error(`${input.name} must be a ${whole ? "whole " : ""}number.`);
      checkNumber(input, Number(text));
      // As it was typed: JavaScript would round integers beyond 2^53.
      return whole ? text.replace(/^(-?)0+(?=\d)/, "$1") : JSON.stringify(Number(text));
    };
    return { nodes: [box], get, set: (value) => (box.value = String(value)) };
  },

  slider(input, id) {
    const [min, max, step] = rangeOf(input);
    const number = MAKERS.number(input, id);
    const box = number.nodes[0];
    box.value = String(Math.min(Math.max(1, min), max));
    const bar = element("input", { type: "range", min, max, step, value: box.value, ariaLabel: `${input.name}, slider` });
    bar.addEventListener("input", () => { box.value = bar.value; });
    box.addEventListener("input", () => { bar.value = box.value; });
    const set = (value) => { number.set(value); bar.value = value; };
    return { nodes: [element("div", { className: "slider" }, bar, box)], get: number.get, set };
  },

  check(input, id) {
    const box = element("input", { id, type: "checkbox" });
    return { nodes: [box], get: () => JSON.stringify(box.checked), set: (value) => (box.checked = Boolean(value)) };
  },

  file(input, id) {
    let bytes = null;
    const preview = element("div", { className: "preview" });
    const chooser = element("input", { id, type: "file" });
    if (/image|picture|photo/.test(input.name)) chooser.accept = "image/*";
    if (/audio|sound|speech|wav/.test(input.name)) chooser.accept = "audio/*";
    const show = (base64, name) => {
      bytes = base64;
      const note = element("p", { className: "kind" }, `${name}, ${size(bytes)}`);
      preview.replaceChildren(...media(bytes, input.name), note);
    };
    const chosen = readChosen(chooser, input, {
      read: async (file) => toBase64(new Uint8Array(await file.arrayBuffer())),
      show,
      fail: (error) => { bytes = null; preview.replaceChildren(...errorNodes(error)); },
    });
    const get = () => {
      chosen.check();
      if (bytes === null) throw new Error(`${input.name} needs a file.`);
      return JSON.stringify({ b64: bytes });
    };
    // For the line in a shell: the name of the file in place of its content.
    const file = () => (chooser.files.length ? chooser.files[0].name : null);
    const set = (value) => {
      chosen.clear();
      show(value?.b64 ?? toBase64(new TextEncoder().encode(plain(value))), "The example");
    };
    return { nodes: [chooser, preview], get, set, file };
  },

  // A file, whose numbers can be seen and changed below.
  picture(input, id) {
    const wanted = pictureFormatOf(input);
    const numbers = MAKERS.data(input, `${id}-numbers`);
    numbers.nodes[0].ariaLabel = `${input.name}, numbers`;
    const preview = element("div", { className: "preview" });
    const chooser = element("input", { id, type: "file", accept: "image/*" });
    const show = (value) => {
      numbers.set(value);
      preview.replaceChildren(picture(value, shapeOf(value), input.name, wanted.white));
    };
    const chosen = readChosen(chooser, input, {
      read: (file) => numbersOf(file, input.name, wanted),
      show,
      fail: (error) => { numbers.clear(); preview.replaceChildren(...errorNodes(error)); },
    });
    // The file and the preview would show other numbers than those that are sent.
    numbers.nodes[0].addEventListener("input", () => { chosen.clear(); preview.replaceChildren(); });
    const get = () => {
      chosen.check();
      if (numbers.isEmpty()) throw new Error(`${input.name} needs a picture.`);
      return numbers.get();
    };
    const folded = element("details", { className: "folded" }, element("summary", {}, "Numbers"), ...numbers.nodes);
    return { nodes: [chooser, preview, folded], get, set: (value) => { chosen.clear(); show(value); } };
  },

  data(input, id) {
    const area = element("textarea", { id, rows: 3, spellcheck: false, className: "data" });
    const get = () => {
      try {
        JSON.parse(area.value);
      } catch {
        throw new Error(`${input.name} must be JSON, such as [1, 2, 3].`);
      }
      return area.value.trim();
    };
    const isEmpty = () => area.value.trim() === "";
    const clear = () => { area.value = ""; };
    return { nodes: [area], get, set: (value) => (area.value = JSON.stringify(value)), isEmpty, clear };
  },
};

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function makeField(input, number) {
  const kind = kindOf(input);
  const id = `field-${number}`;
  const field = { ...MAKERS[kind](input, id), input, kind };
  // A list has no field of its own name: each of its texts is named by its number.
  const label = kind === "list" ? element("p", { className: "label" }) : element("label", { htmlFor: id });
  label.append(`${input.name} `, element("span", { className: "kind" }, kindText(input)));
  field.node = element("div", { className: "field" }, label, ...field.nodes);
  field.wide = !["number", "slider", "check"].includes(kind);
  return field;
}

function toBase64(bytes) {
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) {
    text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  }
  return btoa(text);
}
