import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BatonError } from '../errors.ts'

/** Says what is wrong with a value; an empty list where nothing is. */
export type SchemaCheck = (value: unknown) => string[]

/** The schemas of OpenAI's API that can be checked against, by file name in the schema folder. */
export type OpenAISchema =
  | 'chat-completions-request'
  | 'chat-completions-chunk'
  | 'chat-completions-response'
  | 'responses-request'
  | 'responses-event'

/**
 * Compiles a schema of OpenAI's API. `dir` holds `NAME.schema.json` as taken from the published OpenAPI document (github.com/openai/openai-openapi).
 *
 * Read leniently where that document is no JSON Schema or contradicts itself: `nullable` allows null, and `oneOf` is read as `anyOf`, because
 * alternatives overlap (a plain user message with a list of parts is both an `EasyInputMessage` and an `InputMessage`).
 *
 * @throws BatonError `INVALID_OPTIONS` where the file or the optional peer dependency `ajv` is missing.
 */
export function loadOpenAISchema(dir: string, name: OpenAISchema): Promise<SchemaCheck> {
  const file = join(dir, `${name}.schema.json`)
  let check = checks.get(file)
  if (!check) {
    check = compile(file)
    checks.set(file, check)
    // What is missing now may be there later.
    check.catch(() => checks.delete(file))
  }
  return check
}

/** Compiled ones, by file: compiling takes a tenth of a second, and suites start many servers. */
const checks = new Map<string, Promise<SchemaCheck>>()

async function compile(file: string): Promise<SchemaCheck> {
  const [{ Ajv2020 }, text] = await Promise.all([
    import('ajv/dist/2020.js').catch((cause: unknown) => {
      throw new BatonError('INVALID_OPTIONS', 'schemaDir: checking needs the package ajv; install it (npm install --save-dev ajv)', {
        cause,
      })
    }),
    readFile(file, 'utf8').catch((cause: unknown) => {
      throw new BatonError('INVALID_OPTIONS', `schemaDir: cannot read ${file}`, { cause })
    }),
  ])
  const ajv = new Ajv2020({ strict: false, validateSchema: false, validateFormats: false, logger: false, allErrors: false })
  const validate = ajv.compile(asJsonSchema(JSON.parse(text)) as object)
  return (value) => {
    if (validate(value)) return []
    // The deepest complaints are the ones about what the sender meant; the rest are the alternatives that it did not.
    const errors = [...(validate.errors ?? [])].sort((a, b) => b.instancePath.length - a.instancePath.length)
    return errors.slice(0, 5).map((error) => `${error.instancePath || '/'} ${error.message ?? error.keyword}`)
  }
}

function asJsonSchema(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(asJsonSchema)
  if (typeof node !== 'object' || node === null) return node
  const schema: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(node)) {
    if (key === 'nullable' || key === 'discriminator' || key === '$recursiveAnchor') continue
    if (key === '$recursiveRef') continue
    schema[key === 'oneOf' && !('anyOf' in node) ? 'anyOf' : key] = asJsonSchema(value)
  }
  return 'nullable' in node && node.nullable === true ? { anyOf: [schema, { type: 'null' }] } : schema
}
