"""The process of a fleet server that the privacy test looks into; driven by lines on stdin.

Usage: privacy_server.py FOLDER IMAGE DEVICE... It prints one JSON line per stage.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path

from edgekit.boards import load_board
from edgekit.federated.orders import head_of_image
from edgekit.federated.rounds import Phase, RunPlan
from edgekit.flash.flash_image import FlashImage
from edgekit.fleet.broker import reload_running
from edgekit.fleet.manifests import release_key
from edgekit.fleet.provision import Provision
from edgekit.fleet.releases import publish
from edgekit.fleet.rollouts import Limits
from edgekit.formats.image_reader import read_image
from edgekit.ops import kernel_set
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet
from edgekit.service.rollouts import RolloutDriver

ROUNDS = 2


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main(folder: Path, image: bytes, devices: list[str]) -> None:
    root, board = folder / ".edgekit", load_board("host")
    key = release_key(root / "keys")
    with LocalFleet(root=root, fleet="privacy", heartbeat_s=1) as fleet:
        for device in devices:
            record = fleet.add_device(device, "host")
            page = Provision(
                device=device,
                gateway_host="127.0.0.1",
                gateway_port=fleet.gateway.port,
                token_id=record.token.id,
                token_secret=record.token.secret,
                release_key=key.public,
                entropy=secrets.token_bytes(32),
            )
            FlashImage(folder / f"{device}.flash", board).write_provision(page.encode())
        with (root / "broker" / "acl").open("a", encoding="ascii") as acl:
            acl.write("\nuser witness\ntopic read ek/1/privacy/#\n")
        assert reload_running(root, {**fleet.store.passwords(), "witness": "witness"})
        say(stage="enrolled", port=fleet.broker.address.port)
        sys.stdin.readline()
        server = fleet.server
        while not server.call(
            lambda: all(view.reported is not None for view in server.devices().values())
        ):
            time.sleep(0.05)
        rollouts, runs = RolloutDriver(server), FederatedDriver(server)
        release = publish(
            image,
            board=board,
            kernel_ops=kernel_set("all"),
            journal=server.journal,
            key=key,
            now_s=time.time(),
        )
        rollouts.wait(
            rollouts.start(release, devices, waves=(1.0,), limits=Limits(soak_s=0)), timeout_s=60
        )
        plan = RunPlan(
            run=1,
            base_image=read_image(image).id.hex(),
            rounds=ROUNDS,
            devices=tuple(devices),
            epochs=2,
            rate=0.01,
            deadline_s=60,
        )
        state = runs.run(plan, head_of_image(image), timeout_s=120)
        accepted = [row.accepted for row in state.table]
        say(stage="learned", finished=state.phase is Phase.FINISHED, accepted=accepted)
        sys.stdin.readline()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3:])
