import { extname } from 'node:path'
import { estimateRequestTokens, estimateTokens } from '../models/estimate-tokens.ts'
import type { ModelInfo, ModelRequest } from '../models/model.ts'
import type { ModelSend } from '../models/receive-reply.ts'
import type { RecentChange } from './suggestion-log.ts'

/** Longest prompt of a completion: more costs time, which a person who types does not have. */
const maxCompletionTokens = 4_096
/** Longest text around the lines that are edited. */
const maxAroundTokens = 16_384
/** Least text around the cursor, whatever the window. */
const minTextTokens = 64
/** What the fixed words of a prompt take, at most. */
const wordsTokens = 256
/** What a model that reasons may think before it answers. */
const reasoningTokens = 4_096
/** As of `estimateTokens`. */
const bytesPerToken = 2.6

/** Text before and after a place in a file. */
export interface Surroundings {
  readonly prefix: string
  readonly suffix: string
}

/** What a completion is asked about. */
export interface CompletionPrompt extends Surroundings {
  readonly path: string
  /** The most relevant first. */
  readonly changes: readonly RecentChange[]
  readonly maxOutputTokens: number
  readonly cacheKey: string
}

/** What an edit is asked about. `prefix` and `suffix` are around the lines. */
export interface EditPrompt extends Surroundings {
  readonly path: string
  readonly lines: string
  readonly instruction: string
  readonly changes: readonly RecentChange[]
  readonly cacheKey: string
}

/** The prompt of a completion for a model: to fill in the middle, where it can, and to answer in a chat. A quarter of it at most is what was changed lately. */
export function completionFor(prompt: CompletionPrompt, info: ModelInfo): ModelSend {
  const { path, maxOutputTokens, cacheKey } = prompt
  const output = outputLimit(maxOutputTokens, info)
  const room = Math.max(minTextTokens, Math.min(maxCompletionTokens, info.contextWindow - (output ?? 0) - wordsTokens))
  const shown = takeChanges(prompt.changes, room / 4)
  const around = fitAround(prompt, room - shown.tokens)
  const system =
    'You complete text at the cursor of an editor. Reply with what goes between the two parts, and with nothing else: no explanation, no code fence, ' +
    'nothing that is there already. Where nothing is missing, reply with nothing.'
  const user = `${describeChanges(shown.changes)}File: ${path}\n\n<before_cursor>${around.prefix}</before_cursor>\n<after_cursor>${around.suffix}</after_cursor>`
  return {
    request: chatRequest(system, user, info, { maxOutputTokens: output, cacheKey }),
    completion: { prefix: commentChanges(shown.changes, path) + around.prefix, suffix: around.suffix, maxOutputTokens },
  }
}

/** The prompt of an edit for a model. The lines themselves are never cut. */
export function editFor(prompt: EditPrompt, info: ModelInfo): ModelSend {
  const { path, lines, instruction, cacheKey } = prompt
  const needed = estimateTokens(lines)
  const output = outputLimit(2 * needed + 1_024, info)
  const fixed = needed + estimateTokens(instruction) + wordsTokens + (output ?? 0)
  const room = Math.max(minTextTokens, Math.min(maxAroundTokens, info.contextWindow - fixed))
  const shown = takeChanges(prompt.changes, room / 4)
  const around = fitAround(prompt, room - shown.tokens)
  const system =
    'You edit lines of a file as you are told. Reply with the new text of everything between <lines> and </lines>, whole and in place of it, with its ' +
    'indentation, and with nothing else: no explanation, no code fence, nothing of what is around.'
  const user =
    `${describeChanges(shown.changes)}File: ${path}\n\n<before>${around.prefix}</before>\n<lines>${lines}</lines>\n<after>${around.suffix}</after>\n\n` +
    `What to do with the lines: ${instruction}`
  return { request: chatRequest(system, user, info, { maxOutputTokens: output, cacheKey }) }
}

/** The size of what is sent, as far as it is known beforehand. */
export function sizeOf({ request }: ModelSend): number {
  return estimateRequestTokens(request)
}

function outputLimit(tokens: number, { capabilities, maxOutputTokens = Number.POSITIVE_INFINITY, contextWindow }: ModelInfo): number {
  const wanted = capabilities.reasoning ? tokens + reasoningTokens : tokens
  return Math.min(wanted, maxOutputTokens, Math.max(1, Math.floor(contextWindow / 2)))
}

function chatRequest(
  system: string,
  user: string,
  info: ModelInfo,
  options: Pick<ModelRequest, 'maxOutputTokens' | 'cacheKey'>,
): ModelRequest {
  return {
    messages: [
      { role: 'system', text: system },
      { role: 'user', parts: [{ type: 'text', text: user }] },
    ],
    ...options,
    ...(info.capabilities.reasoning && { reasoningEffort: 'low' }),
  }
}

/** The most relevant changes that fit; the most relevant last, so that it stands next to the text. */
function takeChanges(changes: readonly RecentChange[], tokens: number): { changes: readonly RecentChange[]; tokens: number } {
  const taken: RecentChange[] = []
  let used = 0
  for (const change of changes) {
    // Comment signs on each line count too.
    const size = estimateTokens(change.path + change.diff) + 2 * change.diff.split('\n').length + 4
    if (used + size > tokens) continue
    taken.unshift(change)
    used += size
  }
  return { changes: taken, tokens: used }
}

function describeChanges(changes: readonly RecentChange[]): string {
  if (changes.length === 0) return ''
  return `Changed lately:\n\n${changes.map(({ path, diff }) => `${path}\n${diff.trimEnd()}\n`).join('\n')}\n`
}

const slashes = 'ts tsx mts cts js jsx mjs cjs java c h cc cpp cxx hpp cs go rs swift kt kts scala dart php zig proto groovy'
const hashes = 'py rb sh bash zsh pl r ex exs yaml yml toml tf nix mk jl'
const dashes = 'sql lua hs elm'
const commentSigns = new Map<string, string>([
  ...slashes.split(' ').map((name) => [`.${name}`, '//'] as const),
  ...hashes.split(' ').map((name) => [`.${name}`, '#'] as const),
  ...dashes.split(' ').map((name) => [`.${name}`, '--'] as const),
])

/** A model that fills in the middle knows nothing but the text: what was changed elsewhere stands before it as comments of the file's own language, or not at all. */
function commentChanges(changes: readonly RecentChange[], path: string): string {
  const sign = commentSigns.get(extname(path).toLowerCase())
  if (sign === undefined || changes.length === 0) return ''
  const blocks = changes.map((change) => `Changed lately in ${change.path}:\n${change.diff.trimEnd()}`)
  const lines = `${blocks.join('\n')}\nFile: ${path}`.split('\n')
  return `${lines.map((line) => `${sign} ${line}`.trimEnd()).join('\n')}\n`
}

/** Cuts the text before a place at its start and the text after it at its end, at the borders of lines where they are not longer than that. */
export function fitAround({ prefix, suffix }: Surroundings, tokens: number): Surroundings {
  const [before, after] = [estimateTokens(prefix), estimateTokens(suffix)]
  if (before + after <= tokens) return { prefix, suffix }
  // What one side does not need is the other's; the text before the cursor says more.
  const forAfter = Math.min(after, Math.max(Math.floor(tokens / 4), Math.floor(tokens) - before))
  return { prefix: keepEnd(prefix, Math.floor(tokens) - forAfter), suffix: keepStart(suffix, forAfter) }
}

function keepEnd(text: string, tokens: number): string {
  const start = text.length - keptLength(text, tokens, (length) => text.slice(text.length - length))
  if (start === 0 || text[start - 1] === '\n') return text.slice(start)
  const line = text.indexOf('\n', start) + 1
  // A single line that is too long, or has only its end left, is cut where it has to be.
  return text.slice(line > 0 && line < text.length ? line : start + (tears(text, start) ? 1 : 0))
}

function keepStart(text: string, tokens: number): string {
  const end = keptLength(text, tokens, (length) => text.slice(0, length))
  if (end === text.length) return text
  const line = text.lastIndexOf('\n', end - 1) + 1
  return text.slice(0, line > 0 ? line : end - (tears(text, end) ? 1 : 0))
}

/** The longest part that fits, in UTF-16 code units. */
function keptLength(text: string, tokens: number, part: (length: number) => string): number {
  const bytes = Math.max(0, Math.floor(tokens * bytesPerToken))
  let length = Math.min(text.length, bytes)
  for (;;) {
    const over = Buffer.byteLength(part(length)) - bytes
    if (over <= 0) return length
    length -= Math.min(length, Math.max(1, Math.ceil(over / 3)))
  }
}

/** Whether a cut there tears a character in two. */
function tears(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 0xdc00 && code <= 0xdfff
}
