"""The command `spanscan`: one way in. Results on stdout, everything else on stderr, no traceback at a user."""

from flows.command import app, command
from flows.compare_commands import compare, history
from flows.model_commands import compile_model, evaluate, models, train
from flows.review_command import review
from flows.survey_commands import check, demo, inspect, measure, plan
from flows.upload_commands import serve, status, sweep, watch
from tasks.allocator import share_one_arena

for function in (
    demo,
    inspect,
    measure,
    plan,
    check,
    models,
    train,
    evaluate,
    compile_model,
    watch,
    sweep,
    serve,
    status,
    review,
    compare,
    history,
):
    command(function)


def main() -> None:
    """Run the command line; exit codes: 0 done, 2 wrong usage, 3 input rejected, 4 run failed, 130 interrupted."""
    share_one_arena()  # before any thread is there
    app()
