import type { ModelChunk, ModelMessage, ModelRequest } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'
import type { ResolvedQuirks } from './openai-quirks.ts'

/** What mapping a request or a reply depends on. */
export interface WireConfig {
  /** Of the model, in Baton. */
  readonly id: string
  /** Of the model, at the provider. */
  readonly model: string
  readonly quirks: ResolvedQuirks
  /** Whether it reasons. */
  readonly reasoning: boolean
  /** Takes the credentials out of a text. */
  redact(text: string): string
}

/** One API: how a request is written for it and how its replies are read. */
export interface Wire {
  readonly path: string
  body(request: ModelRequest, config: WireConfig): object
  createReader(config: WireConfig): ReplyReader
}

/** Reads one reply. */
export interface ReplyReader {
  /** Adds what an event says to `out`. Returns whether the reply is complete. Throws a `ModelError` where the event is a failure. */
  take(event: JsonObject, out: ModelChunk[]): boolean
  /** Adds what a reply says that came in one piece, as from a server that does not stream. */
  takeWhole(body: JsonObject, out: ModelChunk[]): void
  /** The last chunk; undefined while the reply is not complete. */
  finish(): Finish | undefined
}

export type Finish = Extract<ModelChunk, { type: 'finish' }>
export type Usage = NonNullable<Finish['usage']>
export type JsonObject = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The objects in what should be a list of them. */
export function objectsIn(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** A string that says something, else undefined. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** A count of tokens, where it is one. */
export function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value) ? Math.round(value) : undefined
}

/** Adds text to a reply. Pieces that arrived together become one chunk: whoever reads them pays for each. */
export function pushText(out: ModelChunk[], type: 'text' | 'reasoning' | 'refusal', text: string): void {
  const last = out.at(-1)
  if (last?.type === type) out[out.length - 1] = { type, text: last.text + text }
  else out.push({ type, text })
}

/** Adds a piece of a call's arguments to a reply. */
export function pushArguments(out: ModelChunk[], index: number, text: string): void {
  const last = out.at(-1)
  if (last?.type === 'tool-call' && last.index === index) out[out.length - 1] = { ...last, arguments: last.arguments + text }
  else out.push({ type: 'tool-call', index, arguments: text })
}

/** Arguments as text: some servers send them parsed. */
export function argumentsText(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value)
}

export type UserPart = Extract<ModelMessage, { role: 'user' }>['parts'][number]

/** The text of a message that holds nothing else, else undefined. Every server takes a string; not every one takes a list. */
export function plainText(parts: readonly UserPart[]): string | undefined {
  const texts: string[] = []
  for (const part of parts) {
    if (part.type !== 'text') return undefined
    texts.push(part.text)
  }
  return texts.join('\n\n')
}

/** An image as a data URL. */
export function imageUrl(part: Exclude<UserPart, { type: 'text' }>, { id }: WireConfig): string {
  if (part.type === 'image-ref')
    throw new ModelError('bad-request', `${id}: the image ${part.blob.sha256} is a reference; its bytes have to be in the request`)
  return `data:${part.mediaType};base64,${Buffer.from(part.data.buffer, part.data.byteOffset, part.data.byteLength).toString('base64')}`
}

const wellFormed = new WeakSet<object>()

/**
 * A call's arguments as they may be sent back. Servers parse the arguments of earlier calls (vLLM for its chat template, for example), so that
 * one malformed call would break its conversation for ever: what is no JSON object is sent as `{ "malformed": TEXT }`.
 */
export function sendableArguments(call: { readonly arguments: string }): string {
  if (wellFormed.has(call)) return call.arguments
  try {
    if (isObject(JSON.parse(call.arguments))) {
      wellFormed.add(call)
      return call.arguments
    }
  } catch {}
  return JSON.stringify({ malformed: call.arguments })
}

/** Whether a schema keeps to what strict mode demands: every object lists all its properties as required and allows no others. */
export function isStrict(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.every(isStrict)
  if (!isObject(schema)) return true
  if (isObject(schema.properties) || schema.type === 'object') {
    const required = Array.isArray(schema.required) ? schema.required : []
    if (schema.additionalProperties !== false || !Object.keys(schema.properties ?? {}).every((name) => required.includes(name)))
      return false
  }
  return Object.values(schema).every(isStrict)
}
