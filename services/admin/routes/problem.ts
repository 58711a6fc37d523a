/** Errors of the API as values: RFC 9457 problem details. */

/** One error in a request, and the field that has it. */
export interface Violation {
  /** `body.ids[0]`, `query.limit`. */
  field: string;
  detail: string;
}

/** Thrown by handlers; the error handler turns it into the response. */
export class Problem extends Error {
  override name = "Problem";
  readonly status: number;
  /** Further response header fields, such as Allow. */
  readonly headers: Record<string, string>;
  readonly violations: Violation[];

  constructor(
    status: number,
    detail: string,
    more: { headers?: Record<string, string>; violations?: Violation[] } = {},
  ) {
    super(detail);
    this.status = status;
    this.headers = more.headers ?? {};
    this.violations = more.violations ?? [];
  }
}

const titles: Record<number, string> = {
  400: "The request is not valid",
  401: "A token is needed",
  403: "Not allowed",
  404: "Not found",
  405: "Method not allowed",
  409: "Not possible now",
  413: "The request is too large",
  415: "The body must be application/json",
  429: "Too many at once",
  500: "Internal error",
  503: "Not available now",
};

export const problemType = "application/problem+json";

/** RFC 9457 §3.1: `type` is left out, which means about:blank; `errors` is our extension, one per field. */
export interface ProblemBody {
  title: string;
  status: number;
  detail: string;
  errors?: Violation[];
}

export function problemBody(problem: Problem): ProblemBody {
  return {
    title: titles[problem.status] ?? "The request failed",
    status: problem.status,
    detail: problem.message,
    ...(problem.violations.length > 0 ? { errors: problem.violations } : {}),
  };
}
