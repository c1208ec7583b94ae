"""The Kubernetes manifests hold together: security contexts, settings, commands, images, ports, selectors, policies."""

import json
import re
import shutil
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from flows.cli import app
from flows.settings import Settings
from tests.deployments.files import DEPLOYMENTS, KUBERNETES, WORK_POOLS, Pod, manifests, pods

PODS = pods()
CONFIG = {d["metadata"]["name"]: d["data"] for d in manifests() if d["kind"] == "ConfigMap"}
OURS = [pod for pod in PODS if pod.component != "postgresql"]
MEANT = {name: one.annotation for name, one in Settings.model_fields.items()}


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d for d in manifests() if d["kind"] == kind}


def chosen(selector: dict[str, Any]) -> list[Pod]:
    """Pods that a selector of labels chooses."""
    wanted = selector.get("matchLabels", {})
    one_of = {one["key"]: one["values"] for one in selector.get("matchExpressions", ())}
    return [
        pod
        for pod in PODS
        if all(pod.labels.get(key) == value for key, value in wanted.items())
        and all(pod.labels.get(key) in values for key, values in one_of.items())
    ]


def ports_of(pod: Pod) -> dict[int, str]:
    return {port["containerPort"]: port["name"] for port in pod.container.get("ports", ())}


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod.name)
def test_a_pod_may_do_no_more_than_the_restricted_standard_allows(pod: Pod) -> None:
    spec, container = pod.spec, pod.container
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 999
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert not any("hostPath" in volume for volume in spec["volumes"])
    assert spec["automountServiceAccountToken"] is (pod.component == "prefect-worker")
    for kind in ("requests", "limits"):
        assert {"cpu", "memory"} <= set(container["resources"][kind])
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert pod.component == "postgresql" or {"/var/lib/spanscan", "/tmp"} <= mounted


@pytest.mark.parametrize("pod", OURS, ids=lambda pod: pod.name)
def test_all_our_pods_run_one_image_as_its_own_user(pod: Pod) -> None:
    tag = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["images"][0]["newTag"]
    assert pod.container["image"] in ("spanscan", f"spanscan:{tag}")
    assert pod.spec["securityContext"]["runAsUser"] == 10001
    containerfile = (DEPLOYMENTS / "Containerfile").read_text()
    assert "USER 10001:10001" in containerfile
    assert f"ARG VERSION={tag}" in containerfile
    image = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())["x-spanscan"]["image"]
    assert image == f"${{SPANSCAN_IMAGE:-spanscan:{tag}}}"


@pytest.mark.parametrize("pod", OURS, ids=lambda pod: pod.name)
def test_what_a_pod_starts_exists(pod: Pod) -> None:
    args = pod.container["args"]
    if args is None:  # of a work pool: Prefect's own command
        return
    commands = {found.callback.__name__ for found in app.registered_commands if found.callback is not None}
    if args[0] == "spanscan":
        assert args[1] in commands
    elif args[0] == "sh":
        assert "prefect --no-prompt deploy --prefect-file /opt/spanscan/deployments/prefect.yaml" in args[2]
        known = {d["name"] for d in yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())["deployments"]}
        assert set(re.findall(r"--name (\S+)", args[2])) <= known
    else:
        assert args[:2] in (["dask", "scheduler"], ["dask", "worker"], ["prefect", "server"], ["prefect", "worker"])


@pytest.mark.parametrize("name", CONFIG, ids=str)
def test_settings_are_those_that_spanscan_has_and_within_their_bounds(name: str) -> None:
    given = {key.removeprefix("SPANSCAN_").lower(): v for key, v in CONFIG[name].items() if key.startswith("SPANSCAN_")}
    assert set(given) <= set(MEANT)
    Settings(**{key: value for key, value in given.items() if value})


def test_every_referred_map_account_and_secret_is_there_or_told_in_the_readme() -> None:
    accounts, maps = named("ServiceAccount"), set(CONFIG)
    for folder in ("base", "gpu"):
        generated = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())
        maps |= {one["name"] for one in generated["configMapGenerator"]}
    readme = (DEPLOYMENTS / "README.md").read_text()
    for pod in PODS:
        if pod.component != "postgresql":
            assert pod.spec["serviceAccountName"] in accounts
        assert {one["configMapRef"]["name"] for one in pod.container.get("envFrom", ())} <= maps
        assert {one["configMap"]["name"] for one in pod.spec["volumes"] if "configMap" in one} <= maps
        for one in pod.container.get("env") or ():
            if "valueFrom" in one:
                secret = one["valueFrom"]["secretKeyRef"]
                assert f"secret generic {secret['name']}" in readme
                assert f"--from-literal={secret['key']}=" in readme


def test_dask_workers_and_runs_meet_at_the_scheduler_that_the_settings_name() -> None:
    address = urlsplit(CONFIG["spanscan-settings"]["SPANSCAN_SCHEDULER"])
    assert address.scheme in ("tcp", "tls")
    host, port = str(address.hostname), address.port
    service = named("Service")[host]
    assert [one["port"] for one in service["spec"]["ports"]] == [port]
    (scheduler,) = chosen({"matchLabels": service["spec"]["selector"]})
    assert port in ports_of(scheduler)
    workers = [pod for pod in PODS if pod.component == "dask-worker"]
    assert all(pod.container["args"][2] == "$(SPANSCAN_SCHEDULER)" for pod in workers)
    for gpu in [pod for pod in workers if "nvidia.com/gpu" in pod.container["resources"]["limits"]]:
        args = gpu.container["args"]
        assert gpu.container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert args[args.index("--nthreads") + 1] == "1"
        assert args[args.index("--resources") + 1] == "GPU=1"
        assert gpu.spec["nodeSelector"]
        assert gpu.spec["tolerations"]


def test_the_inbox_is_swept_as_often_as_everywhere_else() -> None:
    cron = Settings.model_fields["sweep_cron"].default
    assert named("CronJob")["sweeper"]["spec"]["schedule"] == cron
    written = yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())["deployments"]
    (sweep,) = [one for one in written if one["name"] == "sweep-uploads"]
    assert [one["cron"] for one in sweep["schedules"]] == [cron]


def test_the_server_is_where_its_clients_ask() -> None:
    service = named("Service")["prefect-server"]
    assert CONFIG["spanscan-settings"]["PREFECT_API_URL"] == "http://prefect-server:4200/api"
    (server,) = chosen({"matchLabels": service["spec"]["selector"]})
    assert ports_of(server) == {4200: "http"}


@pytest.mark.parametrize("service", named("Service").values(), ids=lambda d: d["metadata"]["name"])
def test_a_service_leads_to_a_port_that_its_pods_have(service: dict[str, Any]) -> None:
    found = chosen({"matchLabels": service["spec"]["selector"]})
    assert found
    for pod in found:
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports_of(pod).values()


def test_controllers_choose_their_own_pods_and_nobody_elses() -> None:
    for document in manifests():
        if document["kind"] in ("Deployment", "StatefulSet"):
            name = document["metadata"]["name"]
            assert [pod.name for pod in chosen(document["spec"]["selector"])] == [name]


def test_a_disruption_budget_holds_for_everything_whose_end_costs_a_run() -> None:
    budgets = named("PodDisruptionBudget").values()
    kept = {pod.component for budget in budgets for pod in chosen(budget["spec"]["selector"])}
    assert kept == {"dask-scheduler", "dask-worker", "prefect-server", "postgresql", "flow-run"}


def test_what_one_pod_may_send_another_may_receive() -> None:
    """Of each pair of components: egress and ingress name the same ports, and a port that the receiver has."""
    sent: set[tuple[str, str, int]] = set()
    taken: set[tuple[str, str, int]] = set()
    for policy in named("NetworkPolicy").values():
        own = {pod.component for pod in chosen(policy["spec"]["podSelector"])}
        for direction, key, pairs in (("egress", "to", sent), ("ingress", "from", taken)):
            for rule in policy["spec"].get(direction, ()):
                others = {pod for peer in rule[key] if "podSelector" in peer for pod in chosen_components(peer)}
                numbers = {port["port"] for port in rule["ports"]}
                pairs |= {
                    (mine, other, n) if direction == "egress" else (other, mine, n)
                    for mine in own for other in others for n in numbers
                }  # fmt: skip
    assert sent == taken
    assert ("flow-run", "dask-scheduler", 8786) in sent
    for _, receiver, number in sent:
        assert all(number in ports_of(pod) for pod in PODS if pod.component == receiver)


def chosen_components(peer: dict[str, Any]) -> set[str]:
    return {pod.component for pod in chosen(peer["podSelector"])}


def test_nothing_reaches_the_address_that_gives_out_a_machines_credentials() -> None:
    policies = named("NetworkPolicy")
    assert policies["nothing-unless-named"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies.values():
        for rule in policy["spec"].get("egress", ()):
            for peer in rule["to"]:
                assert "ipBlock" not in peer or "169.254.0.0/16" in peer["ipBlock"]["except"]


@pytest.mark.parametrize("document", manifests(), ids=lambda d: f"{d['kind']}/{d['metadata']['name']}")
def test_a_manifest_has_no_field_that_kubernetes_does_not_know(document: dict[str, Any]) -> None:
    """By the client's models, which are made from the published API: what they do not know is lost on the way."""
    client = pytest.importorskip("kubernetes_asyncio", reason="needs spanscan[kubernetes]").client
    api = client.ApiClient.__new__(client.ApiClient)
    api.configuration = client.Configuration()
    model = document["apiVersion"].rpartition("/")[2].capitalize() + document["kind"]
    read = api._ApiClient__deserialize(document, model)
    assert without_nothing(api.sanitize_for_serialization(read)) == without_nothing(document)


def without_nothing(document: Any) -> Any:
    """A document without what says nothing; quantities and ports as text."""
    if isinstance(document, dict):
        return {key: without_nothing(value) for key, value in document.items() if value not in (None, [], {})}
    if isinstance(document, list):
        return [without_nothing(one) for one in document]
    return document if isinstance(document, bool) else str(document)


@pytest.mark.slow
@pytest.mark.parametrize("path", WORK_POOLS, ids=lambda path: path.parent.name)
def test_prefect_takes_the_work_pool_as_it_is(path: Any) -> None:
    worker = pytest.importorskip("prefect_kubernetes", reason="needs spanscan[kubernetes]").KubernetesWorker
    from tests.deployments.files import filled

    document = json.loads(path.read_text())
    standard = worker.get_default_base_job_template()["variables"]["properties"]
    assert set(standard) <= set(document["variables"]["properties"])
    values = {name: one.get("default") for name, one in document["variables"]["properties"].items()}
    configured = {name: values.get(name) for name in ("name", "labels", "annotations", "env", "command")}
    manifest = json.loads(json.dumps(document["job_configuration"]["job_manifest"]))
    worker.job_configuration(
        **{**configured, "labels": {}, "annotations": {}, "env": {}, "namespace": values["namespace"]},
        job_manifest=filled(manifest, {**values, "labels": {}, "annotations": {}, "env": {}, "name": "run"}),
    )


def test_the_pool_of_gpus_differs_by_its_gpu_alone() -> None:
    plain, gpu = (pod for pod in PODS if pod.name in ("base/work-pool.json", "gpu/work-pool.json"))
    assert gpu.container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert gpu.spec["nodeSelector"]
    assert [t["key"] for t in gpu.spec["tolerations"]] == ["nvidia.com/gpu"]
    assert gpu.container["envFrom"][-1] == {"configMapRef": {"name": "spanscan-settings-gpu"}}
    assert {**gpu.spec, "containers": [], "volumes": []} == {
        **plain.spec, "nodeSelector": gpu.spec["nodeSelector"], "tolerations": gpu.spec["tolerations"],
        "containers": [], "volumes": [],
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_kustomize_builds_it(folder: str) -> None:
    command = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    documents = list(yaml.safe_load_all(built.stdout))
    assert all(d["metadata"].get("namespace") == "spanscan" for d in documents if d["kind"] != "Namespace")
    assert "image: spanscan\n" not in built.stdout
