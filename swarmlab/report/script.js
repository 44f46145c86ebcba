// The report reads without this: it filters the claims, and copies commands.
(() => {
  const boxes = [...document.querySelectorAll('#filter input[type=checkbox]')];
  const search = document.querySelector('#filter input[type=search]');
  const output = document.querySelector('#filter output');
  const claims = [...document.querySelectorAll('article.claim')];
  const apply = () => {
    const wanted = new Set(boxes.filter(box => box.checked).map(box => box.value));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const claim of claims) {
      const fits = claim.dataset.verdicts.split(',').some(verdict => wanted.has(verdict))
        && words.every(word => claim.dataset.words.includes(word));
      claim.hidden = !fits;
      shown += fits;
    }
    for (const group of document.querySelectorAll('.section-group, .chapter-group'))
      group.hidden = !group.querySelector('article.claim:not([hidden])');
    output.value = shown === claims.length ? `all ${shown} claims` : `${shown} of ${claims.length} claims`;
  };
  document.querySelector('#filter').hidden = false;
  document.querySelector('#filter').addEventListener('input', apply);
  document.querySelector('#filter').addEventListener('submit', event => event.preventDefault());
  apply();
  const show = () => {  // a link to a claim that is filtered away shows all again
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.hidden) {
      boxes.forEach(box => { box.checked = true; });
      search.value = '';
      apply();
      target.scrollIntoView();
    }
  };
  addEventListener('hashchange', show);
  const copied = async (text, code) => {
    try {
      await navigator.clipboard.writeText(text);
      return 'Copied';
    } catch {  // a browser that keeps pages from the clipboard: the commands are marked, and Ctrl+C copies them
      getSelection().selectAllChildren(code);
      return 'Marked';
    }
  };
  const copies = (code, what) => {
    const button = document.createElement('button');
    button.className = 'copy';
    button.type = 'button';
    button.textContent = 'Copy';
    button.setAttribute('aria-label', `Copy the commands: ${what}`);
    button.addEventListener('click', async () => {
      button.textContent = await copied(code.textContent, code);
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    });
    return button;
  };
  for (const commands of document.querySelectorAll('pre.commands')) {
    const holder = document.createElement('div');
    holder.className = 'holds-commands';
    commands.replaceWith(holder);
    holder.append(commands, copies(commands, commands.dataset.what));
  }
  for (const code of document.querySelectorAll('.note code')) {
    const button = copies(code, code.closest('.note').dataset.what);
    button.classList.add('word');
    code.after(button);
  }
})();
