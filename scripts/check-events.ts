import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { sourceFiles } from './module-imports.ts'

/** The part of a zod schema that its rendering needs. */
interface Schema {
  readonly def: {
    readonly type: string
    readonly innerType?: Schema
    readonly element?: Schema
    readonly shape?: Readonly<Record<string, Schema>>
    readonly entries?: Readonly<Record<string, string | number>>
    readonly values?: readonly unknown[]
    readonly options?: readonly Schema[]
    readonly keyType?: Schema
    readonly valueType?: Schema
    readonly checks?: readonly { readonly def?: { readonly format?: string } }[]
    readonly format?: string
  }
}

/** What the sources say of one schema. */
interface Described {
  readonly file: string
  readonly text: string
  readonly fields: ReadonlyMap<string, string>
}

const folder = 'packages/core/src/events'

/** Headings, by the file that holds the schemas. */
const groups: Readonly<Record<string, string>> = {
  'task-events.ts': 'Tasks and runs',
  'conversation-events.ts': 'Conversation',
  'control-events.ts': 'Control',
  'model-events.ts': 'Models',
  'tool-events.ts': 'Tools',
  'workspace-events.ts': 'Files and checks',
  'sandbox-events.ts': 'Sandboxes and commands',
}

/** Writes the reference of all events from their schemas and the comments beside them. */
export async function renderEvents(root: string): Promise<string> {
  const events = eventTypes(join(root, folder, 'event.ts'))
  const files = [...new Set(['envelope.ts', ...events.map(({ file }) => file)])]
  const described = new Map<string, Described>()
  const names = new Map<Schema, string>()
  for (const file of files) {
    for (const [name, text] of describe(join(root, folder, file))) described.set(name, text)
    const module = (await import(pathToFileURL(join(root, folder, file)).href)) as Record<string, unknown>
    for (const [name, value] of Object.entries(module)) if (isSchema(value) && !names.has(value)) names.set(value, name)
  }
  const schemas = new Map([...names].map(([schema, name]) => [name, schema]))
  const written = writtenTypes(root)
  const shown = new Set<string>()
  const table = (name: string): string => fieldTable(schemas.get(name), described.get(name), { names, shown })
  const sections = Object.entries(groups).map(([file, title]) => {
    const parts = events
      .filter((event) => event.file === file)
      .map(({ type, name }) => {
        const idle = written.has(type) ? '' : 'Reserved: nothing in this version writes it.'
        return paragraphs(`### ${type}`, described.get(name)?.text ?? '', idle, table(name))
      })
    return `## ${title}\n\n${parts.join('\n\n')}`
  })
  const envelope = table('Envelope')
  const shapes: string[] = []
  // A shape may name further ones, which are then shown too.
  for (const name of shown) {
    const schema = schemas.get(name)
    const body = schema?.def.type === 'object' ? table(name) : renderType(inner(schema), { names: new Map(), shown })
    shapes.push(paragraphs(`### ${name}`, described.get(name)?.text ?? '', body))
  }
  return `${paragraphs(intro, envelope, ...sections, '## Shapes', ...shapes)}\n`
}

function paragraphs(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('\n\n')
}

const intro = `# Events

Written by \`npm run check:events -- --write\` from the schemas in \`${folder}\`; \`npm run check\` compares it with them.

A task is its events. Each has this envelope, a \`type\`, and \`data\` of the shape that is listed for the type. [The guide](../guide/events.md) says how
to read, follow and add to them. A field with \`?\` may be absent.

## Envelope`

/** The built-in types in their order, with the schema of each. */
function eventTypes(file: string): { type: string; name: string; file: string }[] {
  const source = parse(file)
  const imports = new Map<string, string>()
  const found: { type: string; name: string; file: string }[] = []
  for (const statement of source.statements) {
    if (
      ts.isImportDeclaration(statement) &&
      statement.importClause?.namedBindings &&
      ts.isNamespaceImport(statement.importClause.namedBindings)
    ) {
      imports.set(statement.importClause.namedBindings.name.text, basename((statement.moduleSpecifier as ts.StringLiteral).text))
    }
    if (!ts.isInterfaceDeclaration(statement) || !/EventTypes$/.test(statement.name.text)) continue
    for (const member of statement.members) {
      if (!ts.isPropertySignature(member) || !ts.isStringLiteral(member.name) || !member.type) continue
      const [alias = '', name = ''] = member.type.getText(source).split('.')
      found.push({ type: member.name.text, name, file: imports.get(alias) ?? '' })
    }
  }
  if (found.length === 0) throw new Error(`${file}: found no event types`)
  return found
}

/** Comments of the schemas of a file, and of their fields. */
function describe(file: string): Map<string, Described> {
  const source = parse(file)
  const described = new Map<string, Described>()
  for (const statement of source.statements) {
    if (!ts.isVariableStatement(statement)) continue
    for (const { name, initializer } of statement.declarationList.declarations) {
      if (!ts.isIdentifier(name) || !initializer) continue
      const fields = new Map<string, string>()
      const visit = (node: ts.Node): void => {
        if (ts.isPropertyAssignment(node)) fields.set(node.name.getText(source), commentOf(node))
        else ts.forEachChild(node, visit)
      }
      visit(initializer)
      described.set(name.text, { file: basename(file), text: commentOf(statement), fields })
    }
  }
  return described
}

function commentOf(node: ts.Node): string {
  const [last] = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc).slice(-1)
  return (ts.getTextOfJSDocComment(last?.comment) ?? '').replace(/\s+/g, ' ').trim()
}

interface Naming {
  readonly names: ReadonlyMap<Schema, string>
  /** Names that were used, so that their shapes are shown. */
  readonly shown: Set<string>
}

function fieldTable(schema: Schema | undefined, described: Described | undefined, naming: Naming): string {
  const shape = schema?.def.shape
  if (!shape) throw new Error(`found no fields of the schema in ${described?.file}`)
  const rows = Object.entries(shape).map(([field, type]) => {
    const optional = type.def.type === 'optional'
    const text = escapePipes(described?.fields.get(field) ?? '')
    return `| \`${field}${optional ? '?' : ''}\` | ${renderType(type, naming)} | ${text} |`
  })
  return rows.length === 0 ? 'No data.' : `| field | type | |\n|---|---|---|\n${rows.join('\n')}`
}

function renderType(schema: Schema, naming: Naming): string {
  const name = naming.names.get(schema)
  if (name !== undefined) {
    naming.shown.add(name)
    return `[${name}](#${name.toLowerCase()})`
  }
  const { def } = schema
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'readonly':
      return renderType(inner(def.innerType), naming)
    case 'nullable':
      return `${renderType(inner(def.innerType), naming)} or null`
    case 'array':
      return `list of ${renderType(inner(def.element), naming)}`
    case 'record':
      return `object of ${renderType(inner(def.valueType), naming)}`
    case 'union':
      return (def.options ?? []).map((option) => renderType(option, naming)).join(' or ')
    case 'enum':
      return Object.values(def.entries ?? {})
        .map((value) => `\`${value}\``)
        .join(', ')
    case 'literal':
      return (def.values ?? []).map((value) => `\`${String(value)}\``).join(', ')
    case 'object':
      return `{ ${Object.entries(def.shape ?? {})
        .map(([field, type]) => `\`${field}${type.def.type === 'optional' ? '?' : ''}\`: ${renderType(type, naming)}`)
        .join(', ')} }`
    case 'unknown':
      return 'any JSON'
    case 'number':
      return def.checks?.some((check) => check.def?.format === 'safeint') || def.format === 'safeint' ? 'integer' : 'number'
    case 'string':
    case 'boolean':
      return def.type
    default:
      throw new Error(`check-events knows no schema of the type ${def.type}`)
  }
}

function inner(schema: Schema | undefined): Schema {
  if (!schema) throw new Error('a schema lacks the one inside it')
  return schema
}

function escapePipes(text: string): string {
  return text.replaceAll('|', '\\|')
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && 'def' in value && 'safeParse' in value
}

/** Types that some source file, tests and the testing kit aside, makes an event of. */
function writtenTypes(root: string): Set<string> {
  const written = new Set<string>()
  const events = join(root, folder)
  for (const file of readdirSync(join(root, 'packages')).flatMap((name) => sourceFiles(join(root, 'packages', name, 'src')))) {
    const path = relative(root, file).split(sep).join('/')
    if (file.startsWith(events) || /\.test(-d)?\.ts$|\/src\/testing/.test(path)) continue
    const visit = (node: ts.Node): void => {
      // `{ type: 'run.started' }`, and a call such as `runIntent('run.paused')`.
      const made = ts.isPropertyAssignment(node) && node.name.getText() === 'type' ? literalsOf(node.initializer) : []
      const passed = ts.isCallExpression(node) && !/\bon$/.test(node.expression.getText()) ? node.arguments.flatMap(literalsOf) : []
      for (const type of [...made, ...passed]) written.add(type)
      ts.forEachChild(node, visit)
    }
    visit(parse(file))
  }
  return written
}

function literalsOf(node: ts.Node): string[] {
  if (ts.isStringLiteral(node)) return [node.text]
  return ts.isAsExpression(node) ? literalsOf(node.expression) : []
}

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
}

if (process.argv[1] === import.meta.filename) {
  const root = resolve(import.meta.dirname, '..')
  const path = join(root, 'docs/reference/events.md')
  const text = await renderEvents(root)
  if (process.argv.includes('--write')) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  } else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error('docs/reference/events.md differs from the schemas. If this is meant, run: npm run check:events -- --write')
    process.exitCode = 1
  }
}
