import { z } from 'zod'
import { BatonError } from './errors.ts'

/** A call that can be given up on. */
export interface Abortable {
  readonly signal?: AbortSignal | undefined
}

/**
 * Checks what a caller passed and returns it parsed, defaults filled in.
 *
 * @throws BatonError `INVALID_OPTIONS`, naming each field that is wrong and what would be right.
 */
export function parseOptions<S extends z.ZodType>(where: string, schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map((issue) => ({ field: issue.path.map(String).join('.') || '(options)', problem: issue.message }))
  throw new BatonError('INVALID_OPTIONS', `${where}: ${issues.map(({ field, problem }) => `${field}: ${problem}`).join('; ')}`, {
    details: { issues },
    cause: parsed.error,
  })
}

/** A schema for something that is an object of methods: passes it through as it is, and says which method is missing. */
export function implementing<T>(what: string, ...methods: readonly (keyof T & string)[]): z.ZodType<T> {
  return z.custom<T>().superRefine((value, context) => {
    const missing = methods.filter((method) => typeof (value as Record<string, unknown> | undefined)?.[method] !== 'function')
    if (typeof value !== 'object' || value === null)
      context.addIssue({ code: 'custom', message: `expected ${what}, received ${value === null ? 'null' : typeof value}` })
    else if (missing.length > 0)
      context.addIssue({ code: 'custom', message: `expected ${what}; it lacks ${missing.map((name) => `${name}()`).join(', ')}` })
  })
}
