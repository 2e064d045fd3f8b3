import type { CompletionRequest, ModelChunk } from '@baton-sdk/core/plugin'
import type OpenAI from 'openai'
import { chatCompletions } from './chat-completions.ts'
import type { FimFormat } from './fim-formats.ts'
import { fimTemplates } from './fim-formats.ts'
import type { JsonObject, ReplyReader, WireConfig } from './wire.ts'
import { isObject, objectsIn, pushText } from './wire.ts'

/** One way to have the middle filled in: how a request is written for it and how its replies are read. */
export interface FimWire {
  readonly path: string
  body(request: CompletionRequest, config: WireConfig): object
  createReader(request: CompletionRequest, config: WireConfig): ReplyReader
}

/** The API allows no more. */
const maxStops = 4
/** Without a limit some servers stop after 16 tokens, and others never. */
const defaultMaxTokens = 256

/** The way that a format asks for. A suggestion is to be the likeliest text, not a varied one: the temperature is 0. */
export function fimWire(format: FimFormat): FimWire {
  if (format === 'mistral') return mistralWire
  return { path: '/completions', body: (request, config) => textBody(request, config, format), createReader: textReader(format) }
}

const mistralWire: FimWire = {
  path: '/fim/completions',
  body: ({ prefix, suffix, stop, maxOutputTokens = defaultMaxTokens }, { model }) => ({
    ...{ model, prompt: prefix, suffix, max_tokens: maxOutputTokens, temperature: 0, stream: true },
    ...(stop && stop.length > 0 && { stop }),
  }),
  createReader: (_, config) => chatCompletions.createReader(config),
}

function textBody(
  { prefix, suffix, stop = [], maxOutputTokens = defaultMaxTokens }: CompletionRequest,
  { model, quirks }: WireConfig,
  format: Exclude<FimFormat, 'mistral'>,
): OpenAI.CompletionCreateParamsStreaming {
  const stops = [...stop, ...tokensOf(format)].slice(0, maxStops)
  return {
    model,
    ...(format === 'suffix' ? { prompt: prefix, suffix } : { prompt: promptOf(format, prefix, suffix) }),
    max_tokens: maxOutputTokens,
    temperature: 0,
    ...(stops.length > 0 && { stop: stops }),
    stream: true,
    ...(quirks.streamUsage && { stream_options: { include_usage: true } }),
  }
}

function tokensOf(format: Exclude<FimFormat, 'mistral'>): readonly string[] {
  return format === 'suffix' ? [] : fimTemplates[format].tokens
}

/** Text that holds tokens of the template would be read as something else: only what is nearer to the place than they are is sent. */
function promptOf(format: Exclude<FimFormat, 'mistral' | 'suffix'>, prefix: string, suffix: string): string {
  const { prompt } = fimTemplates[format]
  const tokens: readonly string[] = fimTemplates[format].tokens
  const from = Math.max(...tokens.map((token) => (prefix.includes(token) ? prefix.lastIndexOf(token) + token.length : 0)))
  const to = Math.min(...tokens.map((token) => (suffix.includes(token) ? suffix.indexOf(token) : suffix.length)))
  return prompt(prefix.slice(from), suffix.slice(0, to))
}

/** Reads text completions as chat completions with their text elsewhere. What comes behind a stop is dropped, also where the server lets it through. */
function textReader(format: Exclude<FimFormat, 'mistral'>): FimWire['createReader'] {
  return ({ stop = [] }, config) => {
    const reader = chatCompletions.createReader(config)
    const filter = createStopFilter([...stop, ...tokensOf(format)])
    const take = (event: JsonObject, out: ModelChunk[]): void => {
      const chunks: ModelChunk[] = []
      reader.take(asChat(event), chunks)
      for (const chunk of chunks) {
        if (chunk.type !== 'text') out.push(chunk)
        else pushNonEmpty(out, filter.push(chunk.text))
      }
      if (reader.finish()) pushNonEmpty(out, filter.end())
    }
    return {
      take(event, out) {
        take(event, out)
        return false
      },
      takeWhole: take,
      finish() {
        const finish = reader.finish()
        return finish && filter.stopped ? { ...finish, reason: 'stop' } : finish
      },
    }
  }
}

function asChat(event: JsonObject): JsonObject {
  const choices = objectsIn(event.choices).map((choice) =>
    isObject(choice.delta) || isObject(choice.message) ? choice : { ...choice, delta: { content: choice.text } },
  )
  return { ...event, choices }
}

function pushNonEmpty(out: ModelChunk[], text: string): void {
  if (text !== '') pushText(out, 'text', text)
}

/** Lets text through up to the first of some stops, which may come in pieces. */
function createStopFilter(stops: readonly string[]): { push(text: string): string; end(): string; readonly stopped: boolean } {
  const longest = Math.max(0, ...stops.map(({ length }) => length))
  let held = ''
  let stopped = false
  return {
    get stopped() {
      return stopped
    },
    push(text) {
      if (stopped) return ''
      held += text
      const places = stops.map((stop) => held.indexOf(stop)).filter((at) => at >= 0)
      stopped = places.length > 0
      // What may be the beginning of a stop waits for the rest.
      const passed = held.slice(0, stopped ? Math.min(...places) : beginOfStop(held, stops, longest))
      held = stopped ? '' : held.slice(passed.length)
      return passed
    },
    end() {
      const rest = held
      held = ''
      return rest
    },
  }
}

/** Where the longest end of a text begins that a stop begins with. */
function beginOfStop(text: string, stops: readonly string[], longest: number): number {
  for (let at = Math.max(0, text.length - longest + 1); at < text.length; at++) {
    const end = text.slice(at)
    if (stops.some((stop) => stop.startsWith(end))) return at
  }
  return text.length
}
