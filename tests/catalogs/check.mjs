// Tools that others wrote take what `rowhook catalog` writes.
//
//   node check.mjs schema CATALOG.json BODIES [POINTER]   every JSON text of BODIES, each followed by a
//                                                         record separator, is valid by the JSON Schema
//   node check.mjs refused CATALOG.json BODIES            none of BODIES is
//   node check.mjs asyncapi ASYNCAPI.json                 the document has no fault and no warning
//   node check.mjs types FILE.ts …                        the files compile under --strict
//
// Says what is wrong and ends with 1, or says what it saw.

import { readFileSync } from "node:fs";

import { Parser } from "@asyncapi/parser";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import ts from "typescript";

const complaints = [];
const complain = (...what) => complaints.push(what.join(" "));

function schema(catalog, bodies, pointer) {
  const [validate, texts] = prepared(catalog, bodies, pointer);
  for (const text of texts) {
    if (!validate(JSON.parse(text))) {
      complain("invalid:", text.slice(0, 2000), JSON.stringify(validate.errors.slice(0, 5)));
    }
  }
  return `${texts.length} valid`;
}

function refused(catalog, bodies) {
  const [validate, texts] = prepared(catalog, bodies);
  for (const text of texts) {
    if (validate(JSON.parse(text))) complain("valid:", text.slice(0, 2000));
  }
  return `${texts.length} refused`;
}

// A validator as anyone makes one: what it logs in its strict mode is a complaint, too.
function prepared(catalog, bodies, pointer) {
  const document = JSON.parse(readFileSync(catalog, "utf8"));
  const ajv = new Ajv.default({ logger: { log: complain, warn: complain, error: complain } });
  addFormats.default(ajv);
  if (!ajv.validateSchema(document)) complain("meta schema:", ajv.errorsText());
  ajv.addSchema(document);
  for (const [name, { examples = [] }] of Object.entries(document.$defs)) {
    for (const example of examples) {
      if (!ajv.validate(`${document.$id}#/$defs/${name}`, example)) complain(`example of ${name}:`, ajv.errorsText());
    }
  }
  const texts = readFileSync(bodies, "utf8").split("\x1e").filter((text) => text);
  return [ajv.getSchema(document.$id + (pointer ?? "")), texts];
}

async function asyncapi(file) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
  // 0 is an error, 1 a warning; 3 are hints, such as that there is a newer version of AsyncAPI.
  for (const { severity, message, path } of diagnostics) {
    if (severity <= 1) complain(message, "at", path.join("/"));
  }
  return `${document?.messages().length} messages`;
}

function types(...files) {
  const program = ts.createProgram(files, {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  });
  for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const place = file ? `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1}` : "";
    complain(place, ts.flattenDiagnosticMessageText(messageText, "\n"));
  }
  return `${files.length} compiled`;
}

const [what, ...files] = process.argv.slice(2);
const seen = await { schema, refused, asyncapi, types }[what](...files);
if (complaints.length) {
  console.error(complaints.slice(0, 20).join("\n"));
  process.exit(1);
}
console.log(seen);
