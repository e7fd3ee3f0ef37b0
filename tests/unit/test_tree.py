"""Tests mirror the tree: a module has a file of tests of its name, or an entry here that says where it is tested."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMANDS = "service/cli/test_remote_service.py"  # each command, against a database and against the API
AUDITS = "service/workers/test_audit_confirm.py"  # an audit from the request to its findings
WHOLE_WAY = "service/cli/test_job_from_start_to_end.py"  # `gfi up`, submit … report, as a user types it
STACK = "service/cli/test_stack.py"
EXPORTS = "service/api/test_exports.py"  # every format, on files, as a download and as a task
TABLES = "service/store/test_database.py"  # they agree with the migrations
IMPORTS = "service/api/test_imports.py"  # masks made elsewhere, read like those of any job
DATA = "only data and errors; whoever uses it is tested"

ELSEWHERE = {
    "gfi/api/body.py": "service/api/test_problems.py",
    "gfi/api/similar.py": "service/api/test_by_class.py",
    "gfi/domain/row_ranges.py": "unit/store/test_result_query.py",
    "gfi/jobs/flagging.py": "service/api/test_flags.py",
    "gfi/cli/list_by_default.py": COMMANDS,
    "gfi/client/audits.py": "service/api/test_client.py",
    "gfi/client/datasets.py": "service/api/test_client.py",
    "gfi/client/tasks.py": "service/api/test_client.py",
    "gfi/client/exports.py": EXPORTS,
    "gfi/client/flags.py": "service/api/test_client.py",
    "gfi/client/job_resource.py": "service/api/test_client.py",
    "gfi/client/results.py": "service/api/test_client.py",
    "gfi/client/views.py": "service/api/test_client.py",
    "gfi/jobs/image_boxes.py": "service/api/test_explanations.py",
    "gfi/store/public_hosts.py": "service/api/test_webhook_delivery.py",
    "gfi/store/deadline.py": "unit/datasets/media/test_web.py",
    "gfi/store/object_file.py": "service/api/test_explanations.py",
    "gfi/api/config.py": "service/api/test_guard.py",
    "gfi/api/context.py": "service/api/test_app.py",
    "gfi/api/dataset_names.py": "service/api/test_datasets.py",
    "gfi/api/estimate_schemas.py": "service/api/test_jobs.py",
    "gfi/api/lookup.py": "service/api/test_jobs.py",
    "gfi/api/me.py": "service/api/test_access.py",
    "gfi/api/progress_hub.py": "service/api/test_events.py",
    "gfi/api/result_rows.py": "service/api/test_results.py",
    "gfi/api/schemas.py": "service/api/test_results.py",
    "gfi/api/transfers.py": "service/api/test_comparisons.py",
    "gfi/api/tokens.py": "service/api/test_access.py",
    "gfi/audit/settings.py": DATA,
    "gfi/jobs/transfer.py": "service/workers/test_transfer.py",
    "gfi/cli/api.py": STACK,
    "gfi/cli/bench_model.py": "unit/cli/test_bench.py",
    "gfi/cli/db.py": "service/test_wheel.py",
    "gfi/cli/doctor.py": WHOLE_WAY,
    "gfi/cli/explain_by_layer.py": "unit/cli/test_explain.py",
    "gfi/cli/explain_photographs.py": "unit/cli/test_explain.py",
    "gfi/cli/gate.py": "service/cli/test_compare.py",
    "gfi/cli/gc.py": "service/cli/test_any_dataset.py",
    "gfi/cli/job.py": COMMANDS,
    "gfi/cli/jobs.py": COMMANDS,
    "gfi/cli/layers.py": "service/cli/test_errors.py",
    "gfi/cli/local_service.py": COMMANDS,
    "gfi/cli/model_folder.py": "service/workers/test_registration.py",
    "gfi/cli/models.py": COMMANDS,
    "gfi/cli/open.py": "browser/test_every_page.py",
    "gfi/cli/open_service.py": COMMANDS,
    "gfi/cli/picture_files.py": "unit/cli/test_explain.py",
    "gfi/cli/reading.py": "service/cli/test_errors.py",
    "gfi/cli/register_model.py": "service/api/test_models.py",
    "gfi/cli/report.py": COMMANDS,
    "gfi/cli/scheduler.py": STACK,
    "gfi/cli/service.py": COMMANDS,
    "gfi/cli/submit.py": COMMANDS,
    "gfi/cli/supervisor.py": STACK,
    "gfi/cli/tasks.py": COMMANDS,
    "gfi/cli/tokens.py": COMMANDS,
    "gfi/cli/up.py": STACK,
    "gfi/cli/views.py": COMMANDS,
    "gfi/cli/waiting.py": "unit/cli/test_follow.py",
    "gfi/cli/worker.py": "unit/cli/test_devices.py",
    "gfi/client/client.py": "service/api/test_client.py",
    "gfi/client/connection.py": "service/api/test_client.py",
    "gfi/client/job.py": "service/api/test_client.py",
    "gfi/datasets/annotations/coco_json.py": "unit/datasets/layouts/test_coco.py",
    "gfi/datasets/errors.py": DATA,
    "gfi/domain/errors.py": DATA,
    "gfi/domain/metrics.py": "unit/metrics/test_catalogue.py",
    "gfi/domain/presets/paper.py": "unit/domain/test_presets.py",
    "gfi/domain/presets/released.py": "unit/domain/test_presets.py",
    "gfi/domain/presets/tuned.py": "unit/domain/test_presets.py",
    "gfi/domain/preprocess.py": "unit/method/test_preprocess.py",
    "gfi/domain/profile.py": DATA,
    "gfi/domain/records.py": DATA,
    "gfi/drift/errors.py": DATA,
    "gfi/jobs/audits/files.py": AUDITS,
    "gfi/jobs/audits/pictures.py": AUDITS,
    "gfi/jobs/audits/request.py": AUDITS,
    "gfi/jobs/other_methods.py": "service/api/test_other_methods.py",
    "gfi/jobs/delete.py": "service/api/test_jobs.py",
    "gfi/jobs/confined.py": "unit/jobs/test_listing_reader.py",
    "gfi/jobs/registration.py": "service/api/test_models.py",
    "gfi/jobs/similar.py": "service/api/test_by_class.py",
    "gfi/jobs/report.py": "service/api/test_reports.py",
    "gfi/jobs/exports.py": EXPORTS,
    "gfi/jobs/intervals.py": "service/api/test_intervals.py",
    "gfi/exports/coco.py": EXPORTS,
    "gfi/exports/cvat.py": EXPORTS,
    "gfi/exports/errors.py": DATA,
    "gfi/exports/export.py": EXPORTS,
    "gfi/exports/fiftyone.py": EXPORTS,
    "gfi/exports/formats.py": EXPORTS,
    "gfi/exports/overlays.py": EXPORTS,
    "gfi/exports/pieces.py": EXPORTS,
    "gfi/exports/table_rows.py": EXPORTS,
    "gfi/exports/write.py": EXPORTS,
    "gfi/cli/export.py": EXPORTS,
    "gfi/imports/errors.py": DATA,
    "gfi/imports/importing.py": IMPORTS,
    "gfi/imports/import_run.py": IMPORTS,
    "gfi/imports/import_request.py": IMPORTS,
    "gfi/api/multipart.py": "service/api/test_uploads.py",
    "gfi/client/imports.py": IMPORTS,
    "gfi/store/ledger/importing.py": IMPORTS,
    "gfi/store/ledger/job_row.py": "service/store/ledger/test_submission.py",
    "gfi/cli/import_masks.py": IMPORTS,
    "gfi/method/item.py": DATA,
    "gfi/method/model_bundle.py": "service/workers/test_model_versions.py",
    "gfi/method/registration.py": "unit/method/test_model_digest.py",
    "gfi/store/errors.py": DATA,
    "gfi/store/ledger/carrying.py": "service/jobs/test_incremental.py",
    "gfi/reproduce/published.py": DATA,
    "gfi/samples/planted.py": "unit/benchmarks/test_audit.py",
    "gfi/samples/shapes/net.py": AUDITS,
    "gfi/store/ledger/audits.py": AUDITS,
    "workers/asked.py": AUDITS,
    "gfi/store/ledger/views.py": "service/api/test_views.py",
    "gfi/datasets/sample.py": "unit/datasets/test_zip.py",
    "gfi/store/queries/counted.py": "service/workers/test_labels.py",
    "gfi/store/queries/failures.py": "service/store/queries/test_results.py",
    "gfi/store/queries/flags.py": "service/api/test_flags.py",
    "gfi/store/queries/histograms.py": "service/api/test_by_class.py",
    "gfi/store/queries/views.py": "service/api/test_views.py",
    "gfi/store/ledger/incidents.py": "service/store/ledger/test_reaper.py",
    "gfi/store/ledger/retention.py": "service/jobs/test_retention.py",
    "gfi/store/ledger/restoring.py": "service/store/test_rebuild.py",
    "gfi/store/queries/audits.py": AUDITS,
    "gfi/store/queries/audit.py": "service/store/ledger/test_audit.py",
    "gfi/store/queries/fetching.py": "service/store/test_database.py",
    "gfi/store/queries/models.py": "service/store/ledger/test_models.py",
    "gfi/store/queries/queues.py": "service/store/ledger/test_dispatch.py",
    "gfi/store/queries/rates.py": "service/store/ledger/test_rates.py",
    "gfi/store/queries/schedules.py": "service/store/ledger/test_schedules.py",
    "gfi/store/queries/shards.py": "service/store/ledger/test_shards.py",
    "gfi/store/queries/sums.py": "service/store/ledger/test_sums.py",
    "gfi/store/queries/tasks.py": "service/store/ledger/test_control_requests.py",
    "gfi/store/queries/tokens.py": "service/store/ledger/test_tokens.py",
    "gfi/store/queries/workers.py": "service/store/ledger/test_workers.py",
    "gfi/store/s3_client.py": "service/store/test_objects.py",
    "gfi/store/tables/audit_tables.py": TABLES,
    "gfi/store/tables/base.py": TABLES,
    "gfi/store/tables/model_tables.py": TABLES,
    "gfi/store/tables/operation_tables.py": TABLES,
    "gfi/store/tables/result_tables.py": TABLES,
    "gfi/store/tables/schedule_tables.py": TABLES,
    "gfi/store/tables/sum_tables.py": TABLES,
    "gfi/store/tables/work_tables.py": TABLES,
    "gfi/web/pages.py": "service/api/test_pages.py",
    "scheduler/client.py": "service/store/test_broker.py",
    "scheduler/services.py": "service/scheduler/test_app.py",
    "scheduler/worker.py": STACK,
    "workers/app.py": WHOLE_WAY,
    "workers/audit_verify.py": AUDITS,
    "workers/handlers.py": "service/workers/test_registration.py",
    "workers/tasks.py": WHOLE_WAY,
}


def without_a_namesake() -> set[str]:
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    alone = set()
    for module in (path for top in ("gfi", "scheduler", "workers") for path in (ROOT / top).rglob("*.py")):
        inside = module.relative_to(ROOT / "gfi" if module.is_relative_to(ROOT / "gfi") else ROOT)
        namesake = (inside.parent / f"test_{module.stem.strip('_')}.py").as_posix()
        if module.stem != "__init__" and not {f"unit/{namesake}", f"service/{namesake}"} & tests:
            alone.add(module.relative_to(ROOT).as_posix())
    return alone


def test_every_module_has_a_file_of_tests_or_says_where_it_is_tested() -> None:
    assert without_a_namesake() == set(ELSEWHERE)


@pytest.mark.parametrize("place", sorted({place for place in ELSEWHERE.values() if place.endswith(".py")}))
def test_the_places_named_here_exist(place: str) -> None:
    assert (ROOT / "tests" / place).is_file()
