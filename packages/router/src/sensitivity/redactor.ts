import type { Sensitivity } from '@baton-sdk/core'
import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { ContentClassifier } from './classifier.ts'
import { createPlaceholderTable } from './placeholder-table.ts'
import type { Restorer } from './restorer.ts'
import { createRestorer } from './restorer.ts'

/** Options of {@link createRedactor}. */
export interface RedactorOptions {
  /** Says what there is to replace. */
  readonly classifier: ContentClassifier
  /** What is labelled higher than this is replaced. Default: `internal`. */
  readonly above?: Sensitivity | undefined
}

/** How a text is written. */
export interface TextForm {
  /** It is JSON: values stand in its strings, escaped. Default: false. */
  readonly json?: boolean | undefined
}

/**
 * Puts placeholders such as `[[secret:1]]` in place of what a classifier finds, and values back in place of placeholders. One value has one
 * placeholder, for as long as the redactor lives: use one for each conversation, since whoever may name a placeholder gets its value.
 */
export interface Redactor {
  /**
   * Finds values, and replaces them together with all that were found before. Text that looks like a placeholder is replaced too, so that
   * restoring gives back exactly what was redacted (in JSON: the same values, perhaps escaped differently).
   */
  redact(text: string, form?: TextForm): Promise<string>
  /** Puts the values back. Placeholders that stand for nothing stay as they are. */
  restore(text: string, form?: TextForm): string
  /** Puts the values back in a text that comes in pieces, also where a placeholder is cut in two. */
  restorer(form?: TextForm): Restorer
}

const Options = z.strictObject({
  classifier: z.custom<ContentClassifier>(
    (value) => typeof (value as ContentClassifier | undefined)?.find === 'function',
    'expected what createClassifier() returns',
  ),
  above: z.enum(['public', 'internal', 'confidential', 'restricted']).default('internal'),
})

/** Creates a redactor for one conversation. */
export function createRedactor(options: RedactorOptions): Redactor {
  const redaction = createRedaction(options)
  const restorer = (form: TextForm = {}): Restorer => createRestorer(redaction.table, form.json === true)
  return {
    async redact(text, form = {}) {
      await redaction.learn(text, form)
      return redaction.replace(text, form)
    },
    restore(text, form) {
      const whole = restorer(form)
      return whole.push(text) + whole.end()
    },
    restorer,
  }
}

const order: readonly Sensitivity[] = ['public', 'internal', 'confidential', 'restricted']
const maxRounds = 8
const jsonString = /"(?:[^"\\]|\\.)*"/gs

/** A redactor in its two steps: all texts of a request are learnt from before the first of them is replaced in. */
export function createRedaction(options: RedactorOptions) {
  const { classifier, above } = parseOptions('createRedactor', Options, options)
  const table = createPlaceholderTable()

  async function findIn(text: string): Promise<{ kind: string; value: string }[]> {
    const found = (await classifier.find(text)).filter(({ label }) => order.indexOf(label) > order.indexOf(above))
    return found.map(({ kind, offset, length }) => ({ kind, value: text.slice(offset, offset + length) }))
  }

  const replace = (text: string, form: TextForm = {}): string => (form.json ? replaceInJson(text, table.replace) : table.replace(text))

  /** What is found in a text as it is written, and in JSON also in its strings as they read: a file with many lines is one line there. */
  async function addFrom(text: string, form: TextForm): Promise<boolean> {
    const before = table.size
    for (const { kind, value } of await findIn(text)) table.add(kind, table.restore(form.json ? (unescapeJson(value) ?? value) : value))
    for (const [literal] of form.json ? text.matchAll(jsonString) : []) {
      const inside = literal.includes('\\') ? unescapeJson(literal.slice(1, -1)) : undefined
      if (inside !== undefined) for (const { kind, value } of await findIn(inside)) table.add(kind, table.restore(value))
    }
    return table.size > before
  }

  return {
    table,
    replace,
    async learn(text: string, form: TextForm = {}): Promise<void> {
      await addFrom(text, form)
      // Without its neighbour a value may read as another one: what is left is looked at again.
      for (let round = 1; round < maxRounds; round++) {
        const safe = replace(text, form)
        if (safe === text || !(await addFrom(safe, form))) return
      }
    },
    /** The kinds of what would still have to be replaced. */
    async remaining(text: string): Promise<string[]> {
      return (await findIn(text)).map(({ kind }) => kind)
    },
  }
}

function replaceInJson(text: string, replace: (text: string) => string): string {
  let out = ''
  let done = 0
  for (const { index, 0: literal } of text.matchAll(jsonString)) {
    const inside = unescapeJson(literal.slice(1, -1))
    const replaced = inside === undefined ? replace(literal) : replace(inside)
    out += replaceBetween(text.slice(done, index), replace)
    out += inside === undefined ? replaced : replaced === inside ? literal : JSON.stringify(replaced)
    done = index + literal.length
  }
  return out + replaceBetween(text.slice(done), replace)
}

/** A number that was found becomes a string: a placeholder alone is no JSON. */
function replaceBetween(text: string, replace: (text: string) => string): string {
  return text.replace(/[^\s,:[\]{}]+/g, (token) => {
    const replaced = replace(token)
    return replaced === token ? token : JSON.stringify(replaced)
  })
}

function unescapeJson(inside: string): string | undefined {
  try {
    return JSON.parse(`"${inside}"`) as string
  } catch {
    return undefined
  }
}
