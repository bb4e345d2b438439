/** What can go wrong with a model, as data. `code` is stable; `message` is for people and says what was expected. */
export interface ModelProblem {
  readonly code:
    | 'data-unreadable'
    | 'data-too-large'
    | 'data-malformed'
    | 'data-too-short'
    | 'column-missing'
    | 'nothing-varies'
    | 'option-invalid'
    | 'model-missing'
    | 'model-too-large'
    | 'manifest-malformed'
    | 'hash-mismatch'
    | 'graph-malformed'
    | 'graph-refused'
    | 'shape-mismatch'
    | 'input-mismatch'
    | 'golden-mismatch'
    | 'runtime-failed'
    | 'write-failed';
  readonly message: string;
}

export const problem = (code: ModelProblem['code'], message: string): ModelProblem => ({ code, message });
