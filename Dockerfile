# A small image: `make docker` builds it. It runs as a user without rights and needs no network.
#   docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$PWD:/photos" rawkd denoise photo.dng
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY rawkd rawkd
COPY models models
COPY integrations integrations
RUN python -m venv --without-pip /opt/rawkd \
 && pip --python /opt/rawkd/bin/python install --no-cache-dir -c constraints.txt .

FROM python:3.12-slim
COPY --from=build /opt/rawkd /opt/rawkd
ENV PATH=/opt/rawkd/bin:$PATH XDG_CACHE_HOME=/tmp/cache PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /photos
ENTRYPOINT ["rawkd"]
CMD ["--help"]
