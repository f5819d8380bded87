// Tools that others wrote take what `rowhook catalog` writes.
//
//   node check.mjs schema CATALOG.json BODIES [POINTER]   every line of BODIES is valid by the JSON Schema
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
  const document = JSON.parse(readFileSync(catalog, "utf8"));
  const ajv = new Ajv.default({ logger: { log: complain, warn: complain, error: complain } });
  addFormats.default(ajv);
  if (!ajv.validateSchema(document)) complain("meta schema:", ajv.errorsText());
  ajv.addSchema(document);
  const validate = ajv.getSchema(document.$id + (pointer ?? ""));
  const lines = readFileSync(bodies, "utf8").split("\n").filter((line) => line);
  for (const line of lines) {
    if (validate(JSON.parse(line))) continue;
    complain("invalid:", line, JSON.stringify(validate.errors.slice(0, 5)));
  }
  return `${lines.length} valid`;
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
  const program = ts.createProgram(files, { strict: true, noEmit: true, target: ts.ScriptTarget.ES2022 });
  for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const place = file ? `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1}` : "";
    complain(place, ts.flattenDiagnosticMessageText(messageText, "\n"));
  }
  return `${files.length} compiled`;
}

const [what, ...files] = process.argv.slice(2);
const seen = await { schema, asyncapi, types }[what](...files);
if (complaints.length) {
  console.error(complaints.slice(0, 20).join("\n"));
  process.exit(1);
}
console.log(seen);
