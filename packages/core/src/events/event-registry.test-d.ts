import type { Event, EventType, LoggedEvent, Task } from '@baton-sdk/core'
import type { EventDraft } from '@baton-sdk/core/plugin'
import { registerEvent } from '@baton-sdk/core/plugin'
import { describe, expectTypeOf, it } from 'vitest'
import { z } from 'zod'

declare module '@baton-sdk/core' {
  interface EventTypes {
    'harbour.entered': { readonly ship: string }
  }
}

describe('EventTypes', () => {
  it('takes a plugin’s types by declaration merging, beside the built-in ones', () => {
    expectTypeOf<'harbour.entered' | 'message.sent'>().toExtend<EventType>()
    expectTypeOf<Event<'harbour.entered'>['data']>().toEqualTypeOf<{ readonly ship: string }>()
    expectTypeOf<Event<'message.sent'>['data']['text']>().toEqualTypeOf<string>()
    registerEvent('harbour.entered', { version: 1, schema: z.object({ ship: z.string() }) })
    // @ts-expect-error: nobody declared this one
    registerEvent('harbour.left', { version: 1, schema: z.object({}) })
  })

  it('narrows data by type, also of plugins', () => {
    const read = (event: LoggedEvent): void => {
      if (event.type === 'harbour.entered') expectTypeOf(event.data.ship).toEqualTypeOf<string>()
      if (event.type === 'run.finished') expectTypeOf(event.data.runId).toEqualTypeOf<string>()
    }
    expectTypeOf(read).toBeFunction()
    expectTypeOf<{ type: 'harbour.entered'; actor: { kind: 'human'; id: 'a' }; data: { ship: 'b' } }>().toExtend<EventDraft>()
    const listen = (task: Task): void => {
      task.on('harbour.entered', ({ data }) => expectTypeOf(data.ship).toEqualTypeOf<string>())
      // @ts-expect-error: not a type
      task.on('harbour.burnt', () => {})
    }
    expectTypeOf(listen).toBeFunction()
  })
})
