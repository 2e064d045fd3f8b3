import { systemActor } from '../events/envelope.ts'
import { until } from '../events/event-stream.ts'
import { lookBack } from './look-around.ts'
import type { ActiveRun } from './run-context.ts'
import { ready } from './run-context.ts'
import { questionIdOf } from './task-summary.ts'

/** Asks a person and waits; the key makes it one question however often it is asked. */
export async function ask(
  active: ActiveRun,
  text: string,
  options: { readonly key: string; readonly callId?: string; readonly options?: readonly string[] | undefined },
): Promise<string> {
  const { runtime, hold, signal } = active
  await ready(active)
  const { state, stream } = runtime
  let questionId = state.questionsByKey.get(options.key)
  if (questionId === undefined) {
    questionId = questionIdOf(options.key)
    const data = {
      questionId,
      key: options.key,
      text,
      ...(options.options && { options: [...options.options] }),
      ...(options.callId !== undefined && { callId: options.callId }),
    }
    await runtime.drive([{ type: 'question.asked', actor: options.callId === undefined ? runtime.agentActor : systemActor, data }])
  }
  const id = questionId
  const answered = state.questions.get(id)?.answer
  if (answered !== undefined) return answered
  await lookBack(active)
  return hold.yieldFor(() => until(stream, () => state.questions.get(id)?.answer, signal, 'The question'))
}
