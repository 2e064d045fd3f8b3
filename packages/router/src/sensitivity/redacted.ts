import type { Abortable, Model, ModelChunk, ModelMessage, ModelRequest, Sensitivity } from '@baton-sdk/core'
import { clearanceOf, ModelError, parseOptions } from '@baton-sdk/core'
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

  return {
    id,
    info: { ...model.info, clearance, capabilities: { ...model.info.capabilities, images: false } },
    async *generate(request, callOptions: Abortable) {
      const redaction = start()
      const safe = await redactRequest(id, request, redaction)
      yield* restored(model.generate(safe, callOptions), redaction)
    },
    ...(model.complete && {
      async *complete(request, callOptions: Abortable) {
        const redaction = start()
        await redaction.learn(request.prefix)
        await redaction.learn(request.suffix)
        const [prefix, suffix] = [redaction.replace(request.prefix), redaction.replace(request.suffix)]
        await refuseRemaining(id, [prefix, suffix], redaction)
        yield* restored((model.complete as NonNullable<Model['complete']>)({ ...request, prefix, suffix }, callOptions), redaction)
      },
    }),
  }
}

type Redaction = ReturnType<typeof createRedaction>

async function redactRequest(id: string, request: ModelRequest, redaction: Redaction): Promise<ModelRequest> {
  for (const message of request.messages) {
    for (const { text, form } of textsOf(id, message)) await redaction.learn(text, form)
  }
  const messages = request.messages.map((message) => withTexts(message, redaction.replace))
  const changed = messages.flatMap((message, index) => {
    const before = textsOf(id, request.messages[index] as ModelMessage)
    return textsOf(id, message).flatMap(({ text }, at) => (text === before[at]?.text ? [] : [text]))
  })
  await refuseRemaining(id, changed, redaction)
  return { ...request, messages: redaction.table.size > 0 ? withNote(messages) : messages }
}

/** Every text of a message that goes out. */
function textsOf(id: string, message: ModelMessage): { text: string; form: TextForm }[] {
  const texts: { text: string; form: TextForm }[] = []
  const collect = (text: string, form: TextForm = {}): string => {
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

async function refuseRemaining(id: string, texts: readonly string[], redaction: Redaction): Promise<void> {
  for (const text of texts) {
    const kinds = await redaction.remaining(text)
    if (kinds.length === 0) continue
    throw new ModelError(
      'bad-request',
      `${id}: after redaction the request still holds ${[...new Set(kinds)].join(', ')}. It was not sent.`,
    )
  }
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
