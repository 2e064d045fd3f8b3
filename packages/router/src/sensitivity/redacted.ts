import type { Model, Sensitivity } from '@baton-sdk/core'
import type { Abortable, ModelChunk, ModelMessage, ModelRequest } from '@baton-sdk/core/plugin'
import { clearanceOf, ModelError, parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { ContentClassifier } from './classifier.ts'
import type { TextForm } from './redactor.ts'
import { createRedaction } from './redactor.ts'
import type { Restorer } from './restorer.ts'
import { createRestorer } from './restorer.ts'

/** Options of {@link redacted}. */
export interface RedactedOptions {
  /** Says what there is to replace. The one that labels the task's content, so that both know the same. */
  readonly classifier: ContentClassifier
  /**
   * The highest label of requests that may be sent once they are redacted. A request's label may come from where its content is from (a path, the
   * task itself), which redacting does not change: give a label here that only findings have.
   */
  readonly clearance: Sensitivity
}

/** Replacing one value can make its neighbour look like another; it does so no deeper than this. */
const maxRounds = 3

const Options = z.object({ clearance: z.enum(['public', 'internal', 'confidential', 'restricted']) })

const note =
  'Some values were replaced by placeholders in double square brackets, a kind and a number. Each stands for one value. ' +
  'Where a value is needed, in text or in the input of a tool, write its placeholder exactly as it is: the value is put back before anything is run or shown.'

/**
 * A model that never sees what it is not cleared for: what the classifier labels higher than the model's own clearance is replaced by placeholders
 * in its requests, and put back in its replies, in streamed text and in the arguments of tools. Only placeholders of the same request are put
 * back, so that no other conversation's values can be had by naming them, and the same conversation gets the same ones each time.
 *
 * The redacted request is classified again before it is sent; one that still holds something is refused with a `ModelError` (`bad-request`), and
 * so are images, which nobody looks into. Descriptions of tools are the host's own, and go out as they are.
 *
 * @returns a model with the id `redacted/ID` and the given clearance
 */
export function redacted(model: Model, options: RedactedOptions): Model {
  const { clearance } = parseOptions('redacted', Options, options)
  const { classifier } = options
  const above = clearanceOf(model.info)
  const start = (): Redaction => createRedaction({ classifier, above })
  const id = `redacted/${model.id}`
  start()

  const complete = model.complete?.bind(model)
  return {
    id,
    info: { ...model.info, clearance, capabilities: { ...model.info.capabilities, images: false } },
    generate: (request, callOptions: Abortable) =>
      withoutWaiting(async () => {
        const redaction = start()
        const safe = await redactRequest(id, request, redaction)
        return { chunks: model.generate(safe, callOptions), redaction }
      }),
    ...(complete && {
      complete: (request, callOptions: Abortable) =>
        withoutWaiting(async () => {
          const redaction = start()
          const [prefix, suffix] = await redactTexts(id, [{ text: request.prefix }, { text: request.suffix }], redaction)
          return { chunks: complete({ ...request, prefix: prefix as string, suffix: suffix as string }, callOptions), redaction }
        }),
    }),
  }
}

interface Sent {
  readonly chunks: AsyncIterable<ModelChunk>
  readonly redaction: Redaction
}

/** The restored reply. A reader that stops while it waits for a piece stops the transfer, which a generator alone would not. */
function withoutWaiting(send: () => Promise<Sent>): AsyncIterable<ModelChunk> {
  return {
    [Symbol.asyncIterator]() {
      let stopped = false
      let transfer: AsyncIterator<ModelChunk> | undefined
      async function* run(): AsyncGenerator<ModelChunk> {
        const { chunks, redaction } = await send()
        if (stopped) return
        const iterator = chunks[Symbol.asyncIterator]()
        transfer = iterator
        yield* restored({ [Symbol.asyncIterator]: () => iterator }, redaction)
      }
      const reply = run()
      return {
        next: () => reply.next(),
        async return() {
          stopped = true
          await transfer?.return?.()
          return reply.return(undefined)
        },
      }
    },
  }
}

type Redaction = ReturnType<typeof createRedaction>

async function redactRequest(id: string, request: ModelRequest, redaction: Redaction): Promise<ModelRequest> {
  const texts = request.messages.flatMap((message) => textsOf(id, message))
  const safe = (await redactTexts(id, texts, redaction)).values()
  const messages = request.messages.map((message) => withTexts(message, () => safe.next().value as string))
  return { ...request, messages: redaction.table.size > 0 ? withNote(messages) : messages }
}

/** All are learnt from before the first is replaced in; what came to light by replacing is learnt from once more. */
async function redactTexts(id: string, texts: readonly Text[], redaction: Redaction): Promise<string[]> {
  for (let round = 1; ; round++) {
    for (const { text, form } of texts) await redaction.learn(text, form)
    const safe = texts.map(({ text, form }) => redaction.replace(text, form))
    const remaining = new Set<string>()
    for (const [index, { text }] of texts.entries()) {
      if (safe[index] !== text) for (const kind of await redaction.remaining(safe[index] as string)) remaining.add(kind)
    }
    if (remaining.size === 0) return safe
    if (round < maxRounds) continue
    throw new ModelError('bad-request', `${id}: after redaction the request still holds ${[...remaining].join(', ')}. It was not sent.`)
  }
}

interface Text {
  readonly text: string
  readonly form?: TextForm | undefined
}

/** Every text of a message that goes out. */
function textsOf(id: string, message: ModelMessage): Text[] {
  const texts: Text[] = []
  const collect = (text: string, form?: TextForm): string => {
    texts.push({ text, form })
    return text
  }
  if (message.role === 'user' && message.parts.some(({ type }) => type !== 'text')) {
    throw new ModelError('bad-request', `${id}: the prompt holds an image, which cannot be redacted. Use a model that is cleared for it.`)
  }
  withTexts(message, collect)
  return texts
}

function withTexts(message: ModelMessage, change: (text: string, form?: TextForm) => string): ModelMessage {
  switch (message.role) {
    case 'user':
      return { ...message, parts: message.parts.map((part) => (part.type === 'text' ? { ...part, text: change(part.text) } : part)) }
    case 'assistant':
      return {
        ...message,
        text: change(message.text),
        toolCalls: message.toolCalls.map((call) => ({ ...call, arguments: change(call.arguments, { json: true }) })),
        ...(message.reasoning !== undefined && { reasoning: change(message.reasoning) }),
      }
    default:
      return { ...message, text: change(message.text) }
  }
}

function withNote(messages: readonly ModelMessage[]): ModelMessage[] {
  const [first, ...rest] = messages
  if (first?.role === 'system') return [{ ...first, text: `${first.text}\n\n${note}` }, ...rest]
  return [{ role: 'system', text: note }, ...messages]
}

/** Values put back, each stream of text by itself: what is said, what is thought, the arguments of each call. */
async function* restored(chunks: AsyncIterable<ModelChunk>, { table }: Redaction): AsyncIterable<ModelChunk> {
  const streams = new Map<string, { restorer: Restorer; rest: (text: string) => ModelChunk }>()
  const streamOf = (key: string, json: boolean, rest: (text: string) => ModelChunk): Restorer => {
    const known = streams.get(key)
    if (known) return known.restorer
    const restorer = createRestorer(table, json)
    streams.set(key, { restorer, rest })
    return restorer
  }
  for await (const chunk of chunks) {
    if (chunk.type === 'finish') {
      for (const { restorer, rest } of streams.values()) {
        const held = restorer.end()
        if (held !== '') yield rest(held)
      }
      yield chunk
    } else if (chunk.type === 'tool-call') {
      const { index } = chunk
      const restorer = streamOf(`tool-call ${index}`, true, (text) => ({ type: 'tool-call', index, arguments: text }))
      yield { ...chunk, arguments: restorer.push(chunk.arguments) }
    } else if (chunk.type === 'opaque') yield chunk
    else {
      const { type } = chunk
      const text = streamOf(type, false, (held) => ({ type, text: held })).push(chunk.text)
      if (text !== '') yield { type, text }
    }
  }
}
